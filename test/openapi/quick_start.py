"""The quick start, with a client that openapi-python-client made from /openapi.json: arguments are the directory that
has it, the address of the program, and a token or nothing."""

import sys
import uuid

directory, api, token = sys.argv[1:]
sys.path.insert(0, directory)

from generated_client import AuthenticatedClient, Client, models  # noqa: E402
from generated_client.api.invoices import create_invoice, get_invoice, list_invoices, validate_invoice  # noqa: E402

client = AuthenticatedClient(base_url=api, token=token) if token else Client(base_url=api)


def expect(what, actual, expected):
    if actual != expected:
        sys.exit(f"{what}: {actual!r}, expected {expected!r}")


customer = str(uuid.uuid4())
document = {
    "id": str(uuid.uuid4()),
    "customer_id": customer,
    "amount": "9007199254740993.01",
    "currency": "USD",
    "due_date": "2025-06-30T00:00:00Z",
    "items": [
        {
            "description": "An exact amount",
            "quantity": "1",
            "unit_price": "9007199254740993.01",
            "total": "9007199254740993.01",
        }
    ],
}
sent = models.InvoiceInput.from_dict(document)

created = create_invoice.sync_detailed(client=client, body=sent)
expect("create", created.status_code, 201)
expect("created", created.parsed.amount, document["amount"])
expect("create it again", create_invoice.sync_detailed(client=client, body=sent).status_code, 200)

found = get_invoice.sync(client=client, id=document["id"])
expect("get", (str(found.id), found.amount), (document["id"], document["amount"]))

page = list_invoices.sync(client=client, customer_id=customer)
expect("list", [str(invoice.id) for invoice in page.invoices], [document["id"]])

verdict = validate_invoice.sync(client=client, body=models.InvoiceInput.from_dict({**document, "amount": "1"}))
expect("validate", (verdict.status, len(verdict.violations) > 0), ("Rejected", True))

refused = create_invoice.sync_detailed(client=client, body=models.InvoiceInput.from_dict({**document, "currency": "ZZZ"}))
expect("a bad one", refused.status_code, 422)
expect("its problem", (refused.parsed.type_, refused.parsed.violations[0].path), ("/problems/invalid-invoice", "/currency"))

unknown = get_invoice.sync_detailed(client=client, id=str(uuid.uuid4()))
expect("an unknown one", (unknown.status_code, unknown.parsed.type_), (404, "/problems/invoice-not-found"))

print("create, get, list, validate, and the problems of a bad and an unknown invoice")
