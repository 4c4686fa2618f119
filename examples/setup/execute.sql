-- What the execution worker does: claim waiting intents, place their orders, record the broker's answers and fills.
set session authorization aegis_w_execution;
select o.client_order_id, o.side, o.quantity, o.limit_price, p.status as at_the_broker
from claim_intents(1, 50) as o
cross join paper_place(o.client_order_id, o.account, o.symbol, o.side, o.order_type, o.quantity, o.limit_price) as p
cross join order_accepted(o.order_id, o.fence, p.broker_order_id);
select f.client_order_id, f.quantity, f.price, record_fill(
    'demo', f.client_order_id, f.broker_order_id, f.broker_fill_id::text, f.quantity, f.price, f.fee, f.tax, f.filled_at
)
from paper_fills_since('demo', 0, 50) as f;
