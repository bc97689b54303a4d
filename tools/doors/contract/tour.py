"""The tour of README.md, "Over HTTP", by a client from openapi-generator: `tour.py FOLDER URL TOKEN`."""

import sys

FOLDER, URL, TOKEN = sys.argv[1:]
sys.path.insert(0, FOLDER)

import cosmicsync_client as cosmic  # noqa: E402
from cosmicsync_client.exceptions import ApiException  # noqa: E402

STEPS = 0


def step(held, what):
    """Counts a step; exits if the condition does not hold."""
    global STEPS
    STEPS += 1
    if not held:
        raise SystemExit(f"step {STEPS}: {what}")


client = cosmic.ApiClient(cosmic.Configuration(host=URL, access_token=TOKEN))
towns = ("-", "generated-towns")
notes = ("-", "generated-notes")
documents = cosmic.DocumentsApi(client)
queries = cosmic.QueriesApi(client)

rows = "zip,city\n00501,Holtsville\n01001,Agawam\n"
imported = cosmic.FilesApi(client).import_file(*towns, rows, format="csv", id="zip", _content_type="text/csv")
step(imported.documents == 2, imported)

found = queries.find_documents(*towns, cosmic.Query(selector={"city": "Agawam"}, fields=["city"]))
step([(doc.key, doc.value) for doc in found.docs] == [("01001", {"city": "Agawam"})], found)

made = documents.put_document(*towns, "01040", {"zip": "01040", "city": "Holyoke"})
step(made.created, made)

try:
    documents.put_document(*towns, "01040", {}, if_none_match="*")
    step(False, "a document was made twice")
except ApiException as refused:
    step(refused.status == 412 and '"exists"' in refused.body, refused)

read = documents.get_document_with_http_info(*towns, "01040")
step(read.data == {"zip": "01040", "city": "Holyoke"}, read.data)
headers = {name.lower(): value for name, value in read.headers.items()}
step(headers["etag"] == f'"{made.version}"', headers)

history = cosmic.VersionsApi(client).get_history(*towns, "01040")
step([entry.kind for entry in history.entries] == ["created"], history)

counted = queries.count_documents(*towns, cosmic.Count(selector={}))
step(counted.count == 3, counted)

listed = documents.list_documents(*towns, limit=2, sort="-zip")
step([doc.key for doc in listed.docs] == ["01040", "01001"], listed)

documents.delete_document(*towns, "01040")
step(queries.count_documents(*towns, cosmic.Count(selector={})).count == 2, "a document was not deleted")

account = cosmic.AccountsApi(client).create_account(cosmic.NewAccount(name="generated-ada", role="editor"))
step(account.role == "editor", account)
rules = cosmic.RulesApi(client)
rules.put_rules(*notes, {"list": {}, "view": {}, "update": {"by": {"$var": "auth.account"}}})
tried = rules.test_rules(*notes, cosmic.RulesTestBody(account="generated-ada", value={"by": "bob"}))
step([verdict.allowed for verdict in tried.verdicts] == [True, True, False, False, False], tried)
print(STEPS)
