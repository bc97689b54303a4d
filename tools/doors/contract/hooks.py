"""The valid requests that may be refused, and the codes of the refusals.

A description cannot express that a selector has existing operators, or that a patch fits its document. A refusal with
a code that is listed here is right. Any other refusal of a request that matches the description is a finding.
"""

import json

import schemathesis

# Requirements that a JSON schema cannot express, for every operation.
ALWAYS = {
    "not_found": "a name that was drawn is of nothing here",
    "gone": "the document was deleted by an earlier request",
}

SELECTOR = {"bad_selector": "the language of selectors, sorts and paths is in spec/query.md"}
CONDITION = {
    "exists": "`If-None-Match: *`, and the document is there",
    "version_mismatch": "`If-Match` names another version",
}
WRITE = CONDITION | {
    "schema_violation": "the collection has a schema",
    "refused": "an object may be larger than an update, or mean a text or a counter",
    "container_change": "a member merges in another way",
    "idempotency_mismatch": "the same key was sent with another request",
    "idempotency_busy": "a request under the key is under way",
    "conflict": "the document changed meanwhile",
}

CODES = {
    "findDocuments": SELECTOR | {"bookmark_invalid": "a bookmark is of one query"},
    "listDocuments": SELECTOR | {"bookmark_invalid": "a bookmark is of one query", "bad_json": "`where` is JSON"},
    "countDocuments": SELECTOR,
    "explainQuery": SELECTOR | {"bookmark_invalid": "a bookmark is of one query"},
    "followQuery": SELECTOR | {"bad_json": "`where` is JSON"},
    "putIndex": SELECTOR | {"conflict": "an index has this name", "refused": "16 indexes are the most"},
    "putRules": {"bad_rules": "rules are selectors: spec/rules.md"},
    "testRules": {"bad_rules": "rules are selectors: spec/rules.md"},
    "putSchema": {"bad_schema": "which schemas there are is in spec/schemas.md", "schema_violation": "see there"},
    "putDocument": WRITE,
    "createDocument": WRITE,
    "deleteDocument": WRITE,
    "undeleteDocument": WRITE,
    "revertDocument": WRITE,
    "patchDocument": WRITE | {"bad_patch": "a patch fits one document"},
    "transact": WRITE
    | {"bad_patch": "a patch fits one document", "bad_name": "names have at most 255 bytes, not characters"},
    "importFile": WRITE | {"bad_request": "the file is of a format, or has no such rows"},
    "exportFile": {"refused": "no document has a column", "bad_request": "only tables have a delimiter"},
    "createAccount": {"conflict": "an account has this name"},
    "createToken": {"conflict": "a token has this name", "not_found": "there is no such account"},
    "createSpace": {"conflict": "a space has this name"},
    "login": {"login_failed": "no account has this password", "too_often": "it was tried too often"},
}


@schemathesis.hook
def before_call(context, case, kwargs):
    """Never waits for a change: an answer that waits shows nothing new."""
    if operation_of(case) == "followChanges" and (case.query or {}).get("feed") == "longpoll":
        case.query.setdefault("timeout", 10)


def operation_of(case):
    return case.operation.definition.raw.get("operationId")


# Parts of a problem's detail that make the refusal right for every operation.
WORDS = {
    "a write takes either If-Match or If-None-Match": "headers that exclude each other cannot be described",
    "invalid type: floating point": "to JSON Schema 2.0 is an integer; here it is a double, as everywhere",
    "does not fit in 64 bits": "numbers of documents are 64-bit integers and doubles: spec/documents.md, 2",
}


def is_right_refusal(case, response):
    """Returns whether a request that matches the description was refused by a right code."""
    try:
        problem = json.loads(response.content)
        code, detail = problem["code"], problem["detail"]
    except (ValueError, KeyError, TypeError):
        return False
    return code in ALWAYS | CODES.get(operation_of(case), {}) or any(word in detail for word in WORDS)


def is_right_answer(failure, case):
    """Returns whether a request that was made to be invalid is valid."""
    if operation_of(case) == "importFile" and case.media_type != "application/json":
        # Every text is a table, and most texts are a record of some format.
        return True
    # Every query parameter is a text, so the number 0.5 is a cursor, though an unknown one.
    return "parameter `since` in query - since: Incorrect type" in failure.message


def is_stream(response):
    """OpenAPI 3.1 describes a stream of events as one string, and cannot describe a single event."""
    return response.headers.get("content-type", [""])[0].startswith("text/event-stream")


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Keeps a failure only if it is a finding."""
    kind = type(failure).__name__
    if kind == "RejectedPositiveData":
        return not is_right_refusal(case, response)
    if kind == "AcceptedNegativeData":
        return not is_right_answer(failure, case)
    if kind == "JsonSchemaError":
        return not is_stream(response)
    return True


@schemathesis.check
def problems_name_themselves(ctx, response, case):
    """Checks that every refusal is a problem with the status of the answer."""
    if response.status_code < 400 or case.method.upper() == "HEAD":
        return
    media = response.headers.get("content-type", [""])[0]
    assert media == "application/problem+json", f"an error of type {media}"
    problem = json.loads(response.content)
    assert problem["status"] == response.status_code, problem
    assert problem["type"] == f"/docs/errors#{problem['code']}", problem
