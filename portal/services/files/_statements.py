"""The statements that write a chunk of documents of a file as drafts."""

# What is staged of a document, column by column.
COLUMNS = {
    "place": "integer",
    "id": "uuid",
    "document_ref": "text",
    "kind": "text",
    "sign": "integer",
    "payer_ref": "text",
    "currency": "text",
    "external_ref": "text",
    "purchase_order_ref": "text",
    "document_on": "date",
    "due_on": "date",
    "buyer_reference": "text",
    "cost_centre": "text",
    "payment_ref": "text",
    "period_from": "date",
    "period_to": "date",
    "net_minor": "bigint",
}

LIST_LINE_FACTS = """
SELECT document_ref, min(line_number), sum(fields[6]::bigint)::bigint, fields[12], fields[13]
FROM {table}
WHERE file_id = %s AND line_number BETWEEN %s AND %s AND document_ref = ANY(%s)
GROUP BY document_ref, fields[12], fields[13] ORDER BY 2
"""

INSERT_DOCUMENTS = """
INSERT INTO invoices (organisation_id, id, currency, kind, state, payer_id, external_ref,
  purchase_order_ref, document_on, due_on, buyer_reference, cost_centre, payment_ref, period_from,
  period_to, net_minor, tax_minor, total_minor, file_id, created_at)
SELECT %(organisation)s, t.id, t.currency, t.kind, %(state)s, p.id, t.external_ref,
  t.purchase_order_ref, t.document_on, t.due_on, t.buyer_reference, t.cost_centre, t.payment_ref,
  t.period_from, t.period_to, t.net_minor, 0, t.net_minor, %(file_id)s, %(now)s
FROM pg_temp.taken_documents t
JOIN payers p ON p.organisation_id = %(organisation)s AND p.external_ref = t.payer_ref
ORDER BY t.place
ON CONFLICT DO NOTHING RETURNING external_ref
"""

INSERT_LINES = """
INSERT INTO invoice_lines (organisation_id, invoice_id, position, description, quantity,
  unit_price, net_minor, revenue_code, tax_code, source_line)
SELECT %(organisation)s, t.id, row_number() OVER (PARTITION BY t.id ORDER BY l.line_number),
  l.fields[14], t.sign * l.fields[4]::numeric, l.fields[5]::numeric,
  t.sign * l.fields[6]::bigint, l.fields[12], l.fields[13], l.line_number
FROM pg_temp.taken_documents t
JOIN {table} l ON l.file_id = %(file_id)s AND l.document_ref = t.document_ref
  AND l.line_number BETWEEN %(low)s AND %(high)s
"""

INSERT_EVENTS = """
INSERT INTO events (organisation_id, kind, subject_type, subject_id, actor_kind, actor_id,
  actor_name, happened_at)
SELECT %(organisation)s, 'invoice.drafted', 'invoice', t.id, %(actor_kind)s, %(actor_id)s::uuid,
  %(actor_name)s, %(now)s
FROM pg_temp.taken_documents t ORDER BY t.place
"""
