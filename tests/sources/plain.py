"""A shop of another kind: numbers as ids, one table of orders. The mapping `plain` reads it."""

import psycopg

TABLES = b"""
CREATE TABLE shops (id bigint PRIMARY KEY, title text NOT NULL);
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, checkout_id uuid NOT NULL,
    shop_id bigint NOT NULL REFERENCES shops, state text NOT NULL DEFAULT 'pending',
    total_cents int NOT NULL, buyer_id bigint, buyer_email text,
    created_at timestamptz NOT NULL DEFAULT '2026-06-01T10:00:00Z',
    updated_at timestamptz NOT NULL DEFAULT '2026-06-01T10:00:00Z'
);
INSERT INTO shops VALUES (1, 'One'), (2, 'Two');
"""
ONE, TWO = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"

Shop = psycopg.Connection[tuple[object, ...]]


def add(shop: Shop, group: str, seller: int, cents: int) -> str:
    """Adds an order. Returns its id."""
    query = "INSERT INTO orders (checkout_id, shop_id, total_cents, buyer_id) VALUES (%s, %s, %s, 7) RETURNING id::text"
    ((order,),) = shop.execute(query, [group, seller, cents]).fetchall()
    return str(order)
