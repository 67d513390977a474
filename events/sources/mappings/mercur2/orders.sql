-- The orders of Mercur 2.x on Medusa 2.x, a row for each pair of order and group. A pair without a row is gone.
--
-- Mercur writes group, order, seller and link in transactions of their own, the link last. Where a part is missing,
-- the order was deleted. Only live links are read: of the others the notes keep the pairs.
SELECT
    link.order_id AS id,
    link.order_group_id,
    greatest(
        o.updated_at, o.deleted_at, g.deleted_at,
        CASE WHEN g.updated_at > g.created_at THEN g.updated_at END,
        CASE WHEN link.updated_at > link.created_at THEN link.updated_at END
    ) AS updated_at,
    o.created_at,
    CASE WHEN o.id IS NULL OR g.id IS NULL OR s.seller_id IS NULL THEN now()
         ELSE least(o.deleted_at, g.deleted_at) END AS deleted_at,
    o.canceled_at,
    o.status::text,
    round(coalesce((summary.totals -> 'raw_current_order_total' ->> 'value')::numeric, 0), 6) AS total,
    o.currency_code,
    o.display_id,
    o.custom_display_id,
    o.sales_channel_id,
    o.customer_id,
    o.email,
    c.first_name AS customer_first_name,
    c.last_name AS customer_last_name,
    s.seller_id,
    seller.name AS seller_name,
    g.cart_id,
    g.display_id AS order_group_display_id,
    g.created_at AS order_group_created_at,
    g.customer_id AS order_group_customer_id,
    CASE
        WHEN paid.refunded > 0 THEN CASE WHEN paid.refunded = paid.due THEN 'refunded' ELSE 'partially_refunded' END
        WHEN paid.captured > 0 THEN CASE WHEN paid.captured = paid.due THEN 'captured' ELSE 'partially_captured' END
        WHEN paid.authorized > 0
            THEN CASE WHEN paid.authorized = paid.due THEN 'authorized' ELSE 'partially_authorized' END
        WHEN paid.canceled > 0 AND paid.due = 0 THEN 'canceled'
        WHEN paid.awaiting > 0 THEN 'awaiting'
        ELSE 'not_paid'
    END AS payment_status,
    CASE
        WHEN sent.delivered > 0
            THEN CASE WHEN sent.delivered = sent.due AND NOT items.left THEN 'delivered' ELSE 'partially_delivered' END
        WHEN sent.shipped > 0
            THEN CASE WHEN sent.shipped = sent.due AND NOT items.left THEN 'shipped' ELSE 'partially_shipped' END
        WHEN sent.packed > 0
            THEN CASE WHEN sent.packed = sent.due AND NOT items.left THEN 'fulfilled' ELSE 'partially_fulfilled' END
        WHEN sent.canceled > 0 AND sent.due = 0 THEN 'canceled'
        ELSE 'not_fulfilled'
    END AS fulfillment_status
FROM order_group_order link
LEFT JOIN "order" o ON o.id = link.order_id
LEFT JOIN order_group g ON g.id = link.order_group_id
LEFT JOIN customer c ON c.id = o.customer_id
LEFT JOIN LATERAL (
    SELECT seller_id FROM order_order_seller_seller
    WHERE order_id = link.order_id AND deleted_at IS NULL
    ORDER BY created_at, seller_id LIMIT 1
) s ON true
LEFT JOIN seller ON seller.id = s.seller_id
LEFT JOIN LATERAL (
    SELECT totals FROM order_summary
    WHERE order_id = o.id AND version = o.version AND deleted_at IS NULL
    ORDER BY created_at DESC LIMIT 1
) summary ON true
-- As Medusa's getLastPaymentStatus, of the payment collection of the cart that all orders of the group share.
CROSS JOIN LATERAL (
    SELECT
        sum(CASE WHEN p.refunded_amount > 0 THEN CASE WHEN p.refunded_amount = p.amount THEN 1 ELSE 0.5 END END)
            AS refunded,
        sum(CASE WHEN p.captured_amount > 0 THEN CASE WHEN p.captured_amount = p.amount THEN 1 ELSE 0.5 END END)
            AS captured,
        count(*) FILTER (WHERE p.status = 'authorized') AS authorized,
        count(*) FILTER (WHERE p.status = 'awaiting') AS awaiting,
        count(*) FILTER (WHERE p.status = 'canceled') AS canceled,
        count(*) FILTER (WHERE p.status <> 'canceled') AS due
    FROM order_cart oc
    JOIN cart_payment_collection cp ON cp.cart_id = oc.cart_id AND cp.deleted_at IS NULL
    JOIN payment_collection p ON p.id = cp.payment_collection_id AND p.deleted_at IS NULL
    WHERE oc.order_id = o.id AND oc.deleted_at IS NULL
) paid
-- As Medusa's getLastFulfillmentStatus.
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE f.canceled_at IS NOT NULL) AS canceled,
        count(*) FILTER (WHERE f.canceled_at IS NULL) AS due,
        count(*) FILTER (WHERE f.canceled_at IS NULL AND f.delivered_at IS NOT NULL) AS delivered,
        count(*) FILTER (WHERE f.canceled_at IS NULL AND f.delivered_at IS NULL AND f.shipped_at IS NOT NULL)
            AS shipped,
        count(*) FILTER (WHERE coalesce(f.canceled_at, f.delivered_at, f.shipped_at) IS NULL
                           AND f.packed_at IS NOT NULL) AS packed
    FROM order_fulfillment link_f
    JOIN fulfillment f ON f.id = link_f.fulfillment_id AND f.deleted_at IS NULL
    WHERE link_f.order_id = o.id AND link_f.deleted_at IS NULL
) sent
CROSS JOIN LATERAL (
    SELECT count(*) > 0 AS left FROM order_item i
    WHERE i.order_id = o.id AND i.version = o.version AND i.deleted_at IS NULL AND i.fulfilled_quantity < i.quantity
) items
WHERE link.order_id = ANY(%s) AND link.deleted_at IS NULL
