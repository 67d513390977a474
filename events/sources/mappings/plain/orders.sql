-- A plain table of orders: rows with the same checkout_id are one group.
SELECT
    o.id::text AS id,
    o.checkout_id::text AS order_group_id,
    o.updated_at,
    o.created_at,
    CASE WHEN o.state = 'deleted' THEN o.updated_at END AS deleted_at,
    o.state AS status,
    o.total_cents / 100.0 AS total,
    'eur' AS currency_code,
    o.id AS display_id,
    o.buyer_id::text AS customer_id,
    o.buyer_email AS email,
    o.shop_id::text AS seller_id,
    shops.title AS seller_name
FROM orders o
JOIN shops ON shops.id = o.shop_id
WHERE o.id = ANY(%s::bigint[])
