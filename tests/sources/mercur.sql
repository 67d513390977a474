-- The tables of Mercur 2.3.1 on Medusa 2.18 that the mapping `mercur2` reads: columns, types, defaults and indexes as in a
-- dump of its database. Foreign keys to other tables are left out.

CREATE TYPE order_status_enum AS ENUM ('pending', 'completed', 'draft', 'archived', 'canceled', 'requires_action');
CREATE SEQUENCE order_display_id_seq;
CREATE SEQUENCE order_group_display_id_seq;

CREATE TABLE "order" (
    id text NOT NULL,
    region_id text,
    display_id integer DEFAULT nextval('order_display_id_seq'::regclass),
    customer_id text,
    version integer DEFAULT 1 NOT NULL,
    sales_channel_id text,
    status order_status_enum DEFAULT 'pending'::order_status_enum NOT NULL,
    is_draft_order boolean DEFAULT false NOT NULL,
    email text,
    currency_code text NOT NULL,
    shipping_address_id text,
    billing_address_id text,
    no_notification boolean,
    metadata jsonb,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    deleted_at timestamptz,
    canceled_at timestamptz,
    custom_display_id text,
    locale text,
    PRIMARY KEY (id)
);
CREATE INDEX ON "order" (billing_address_id) WHERE (deleted_at IS NULL);
CREATE INDEX ON "order" (currency_code) WHERE (deleted_at IS NULL);
CREATE INDEX ON "order" (customer_id) WHERE (deleted_at IS NULL);
CREATE INDEX ON "order" (deleted_at);
CREATE INDEX ON "order" (display_id) WHERE (deleted_at IS NULL);
CREATE INDEX ON "order" (is_draft_order) WHERE (deleted_at IS NULL);
CREATE INDEX ON "order" (region_id) WHERE (deleted_at IS NULL);
CREATE INDEX ON "order" (sales_channel_id) WHERE (deleted_at IS NULL);
CREATE INDEX ON "order" (shipping_address_id) WHERE (deleted_at IS NULL);
CREATE UNIQUE INDEX ON "order" (custom_display_id) WHERE (deleted_at IS NULL);

CREATE TABLE order_summary (
    id text NOT NULL,
    order_id text NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    totals jsonb,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (id),
    FOREIGN KEY (order_id) REFERENCES "order"(id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX ON order_summary (deleted_at) WHERE (deleted_at IS NOT NULL);
CREATE INDEX ON order_summary (order_id, version) WHERE (deleted_at IS NULL);

CREATE TABLE order_item (
    id text NOT NULL,
    order_id text NOT NULL,
    version integer NOT NULL,
    item_id text NOT NULL,
    quantity numeric NOT NULL,
    raw_quantity jsonb NOT NULL,
    fulfilled_quantity numeric NOT NULL,
    raw_fulfilled_quantity jsonb DEFAULT '{"value": "0", "precision": 20}'::jsonb NOT NULL,
    shipped_quantity numeric NOT NULL,
    raw_shipped_quantity jsonb DEFAULT '{"value": "0", "precision": 20}'::jsonb NOT NULL,
    return_requested_quantity numeric NOT NULL,
    raw_return_requested_quantity jsonb DEFAULT '{"value": "0", "precision": 20}'::jsonb NOT NULL,
    return_received_quantity numeric NOT NULL,
    raw_return_received_quantity jsonb DEFAULT '{"value": "0", "precision": 20}'::jsonb NOT NULL,
    return_dismissed_quantity numeric NOT NULL,
    raw_return_dismissed_quantity jsonb DEFAULT '{"value": "0", "precision": 20}'::jsonb NOT NULL,
    written_off_quantity numeric NOT NULL,
    raw_written_off_quantity jsonb DEFAULT '{"value": "0", "precision": 20}'::jsonb NOT NULL,
    metadata jsonb,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    deleted_at timestamptz,
    delivered_quantity numeric DEFAULT 0 NOT NULL,
    raw_delivered_quantity jsonb DEFAULT '{"value": "0", "precision": 20}'::jsonb NOT NULL,
    unit_price numeric,
    raw_unit_price jsonb,
    compare_at_unit_price numeric,
    raw_compare_at_unit_price jsonb,
    PRIMARY KEY (id),
    FOREIGN KEY (order_id) REFERENCES "order"(id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX ON order_item (deleted_at) WHERE (deleted_at IS NOT NULL);
CREATE INDEX ON order_item (item_id) WHERE (deleted_at IS NULL);
CREATE INDEX ON order_item (order_id) WHERE (deleted_at IS NULL);
CREATE INDEX ON order_item (order_id, version) WHERE (deleted_at IS NULL);

CREATE TABLE order_group (
    id text NOT NULL,
    display_id integer DEFAULT nextval('order_group_display_id_seq'::regclass) NOT NULL,
    customer_id text,
    cart_id text NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (id)
);
CREATE INDEX ON order_group (deleted_at) WHERE (deleted_at IS NULL);

CREATE TABLE order_group_order (
    order_group_id varchar(255) NOT NULL,
    order_id varchar(255) NOT NULL,
    id varchar(255) NOT NULL,
    created_at timestamptz DEFAULT CURRENT_TIMESTAMP NOT NULL,
    updated_at timestamptz DEFAULT CURRENT_TIMESTAMP NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (order_group_id, order_id)
);
CREATE INDEX ON order_group_order (deleted_at);
CREATE INDEX ON order_group_order (id);
CREATE INDEX ON order_group_order (order_group_id) WHERE (deleted_at IS NULL);
CREATE INDEX ON order_group_order (order_id) WHERE (deleted_at IS NULL);

CREATE TABLE order_order_seller_seller (
    order_id varchar(255) NOT NULL,
    seller_id varchar(255) NOT NULL,
    id varchar(255) NOT NULL,
    created_at timestamptz DEFAULT CURRENT_TIMESTAMP NOT NULL,
    updated_at timestamptz DEFAULT CURRENT_TIMESTAMP NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (order_id, seller_id)
);
CREATE INDEX ON order_order_seller_seller (deleted_at);
CREATE INDEX ON order_order_seller_seller (id);
CREATE INDEX ON order_order_seller_seller (order_id) WHERE (deleted_at IS NULL);
CREATE INDEX ON order_order_seller_seller (seller_id) WHERE (deleted_at IS NULL);

CREATE TABLE order_cart (
    order_id varchar(255) NOT NULL,
    cart_id varchar(255) NOT NULL,
    id varchar(255) NOT NULL,
    created_at timestamptz DEFAULT CURRENT_TIMESTAMP NOT NULL,
    updated_at timestamptz DEFAULT CURRENT_TIMESTAMP NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (order_id, cart_id)
);
CREATE INDEX ON order_cart (cart_id) WHERE (deleted_at IS NULL);
CREATE INDEX ON order_cart (deleted_at);
CREATE INDEX ON order_cart (id);
CREATE INDEX ON order_cart (order_id) WHERE (deleted_at IS NULL);

CREATE TABLE cart_payment_collection (
    cart_id varchar(255) NOT NULL,
    payment_collection_id varchar(255) NOT NULL,
    id varchar(255) NOT NULL,
    created_at timestamptz DEFAULT CURRENT_TIMESTAMP NOT NULL,
    updated_at timestamptz DEFAULT CURRENT_TIMESTAMP NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (cart_id, payment_collection_id)
);
CREATE INDEX ON cart_payment_collection (cart_id) WHERE (deleted_at IS NULL);
CREATE INDEX ON cart_payment_collection (deleted_at);
CREATE INDEX ON cart_payment_collection (id);
CREATE INDEX ON cart_payment_collection (payment_collection_id) WHERE (deleted_at IS NULL);

CREATE TABLE payment_collection (
    id text NOT NULL,
    currency_code text NOT NULL,
    amount numeric NOT NULL,
    raw_amount jsonb NOT NULL,
    authorized_amount numeric,
    raw_authorized_amount jsonb,
    captured_amount numeric,
    raw_captured_amount jsonb,
    refunded_amount numeric,
    raw_refunded_amount jsonb,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    deleted_at timestamptz,
    completed_at timestamptz,
    status text DEFAULT 'not_paid'::text NOT NULL,
    metadata jsonb,
    PRIMARY KEY (id),
    CHECK (status IN ('not_paid', 'awaiting', 'authorized', 'partially_authorized', 'canceled', 'failed',
                      'partially_captured', 'completed'))
);
CREATE INDEX ON payment_collection (deleted_at) WHERE (deleted_at IS NOT NULL);

CREATE TABLE order_fulfillment (
    order_id varchar(255) NOT NULL,
    fulfillment_id varchar(255) NOT NULL,
    id varchar(255) NOT NULL,
    created_at timestamptz DEFAULT CURRENT_TIMESTAMP NOT NULL,
    updated_at timestamptz DEFAULT CURRENT_TIMESTAMP NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (order_id, fulfillment_id)
);
CREATE INDEX ON order_fulfillment (deleted_at);
CREATE INDEX ON order_fulfillment (fulfillment_id) WHERE (deleted_at IS NULL);
CREATE INDEX ON order_fulfillment (id);
CREATE INDEX ON order_fulfillment (order_id) WHERE (deleted_at IS NULL);

CREATE TABLE fulfillment (
    id text NOT NULL,
    location_id text NOT NULL,
    packed_at timestamptz,
    shipped_at timestamptz,
    delivered_at timestamptz,
    canceled_at timestamptz,
    data jsonb,
    provider_id text,
    shipping_option_id text,
    metadata jsonb,
    delivery_address_id text,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    deleted_at timestamptz,
    marked_shipped_by text,
    created_by text,
    requires_shipping boolean DEFAULT true NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX ON fulfillment (deleted_at) WHERE (deleted_at IS NOT NULL);
CREATE INDEX ON fulfillment (location_id) WHERE (deleted_at IS NULL);
CREATE INDEX ON fulfillment (shipping_option_id) WHERE (deleted_at IS NULL);

CREATE TABLE seller (
    id text NOT NULL,
    name text NOT NULL,
    handle text NOT NULL,
    email text NOT NULL,
    description text,
    logo text,
    banner text,
    website_url text,
    external_id text,
    currency_code text NOT NULL,
    status text DEFAULT 'pending_approval'::text NOT NULL,
    status_reason text,
    is_premium boolean DEFAULT false NOT NULL,
    closed_from timestamptz,
    closed_to timestamptz,
    metadata jsonb,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    deleted_at timestamptz,
    closure_note text,
    phone text,
    approved_at timestamptz,
    rejected_at timestamptz,
    PRIMARY KEY (id),
    CHECK ((status = ANY (ARRAY['open'::text, 'pending_approval'::text, 'suspended'::text, 'terminated'::text])))
);
CREATE INDEX ON seller (status, closed_from, closed_to) WHERE (deleted_at IS NULL);
CREATE INDEX ON seller (deleted_at) WHERE (deleted_at IS NULL);
CREATE UNIQUE INDEX ON seller (email) WHERE (deleted_at IS NULL);
CREATE UNIQUE INDEX ON seller (external_id) WHERE ((deleted_at IS NULL) AND (external_id IS NOT NULL));
CREATE UNIQUE INDEX ON seller (handle) WHERE (deleted_at IS NULL);
CREATE UNIQUE INDEX ON seller (name) WHERE (deleted_at IS NULL);

CREATE TABLE customer (
    id text NOT NULL,
    company_name text,
    first_name text,
    last_name text,
    email text,
    phone text,
    has_account boolean DEFAULT false NOT NULL,
    metadata jsonb,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    deleted_at timestamptz,
    created_by text,
    PRIMARY KEY (id)
);
CREATE INDEX ON customer (deleted_at) WHERE (deleted_at IS NULL);
CREATE UNIQUE INDEX ON customer (email, has_account) WHERE (deleted_at IS NULL);
