"""Checks of spec/vectors/*.json. Every member of every file takes part: see `spoil`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import loro

from . import control, crypto, exclusion, identity, log, trie, values, wire
from .codec import Reader, Refused, need
from .identity import Claim, Credential, DeviceKeys, Epoch, Invite, KeyEpoch, SpaceGenesis, UserGenesis
from .noise_link import Noise, framed, unframed

Files = dict[str, Any]
Check = tuple[str, Callable[[], str | None]]


def load(folder: Path) -> Files:
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def raw(text: str) -> bytes:
    """Lower-case hexadecimal."""
    need(text == text.lower(), "not lower-case hexadecimal")
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise Refused("not hexadecimal") from error


def same(found: Any, expected: Any, what: str) -> None:
    shown = found.hex() if isinstance(found, bytes) else found
    wanted = expected.hex() if isinstance(expected, bytes) else expected
    need(shown == wanted, f"{what}: {shown} instead of {wanted}")


def checks(files: Files) -> Iterator[Check]:
    """Every check, by the file that it is about."""
    topics = {
        "identity": identity_checks,
        "keys": key_checks,
        "log": log_checks,
        "control": control_checks,
        "trie": trie_checks,
        "messages": message_checks,
        "frames": frame_checks,
        "handshake": handshake_checks,
        "documents": document_checks,
        "exclusion": exclusion_checks,
        "refused": refused_checks,
    }
    need(set(files) == set(topics), f"files and topics differ: {sorted(set(files) ^ set(topics))}")
    for topic, of in topics.items():
        for name, check in of(files):
            yield f"{topic}: {name}", check


# identity.json


def identity_checks(files: Files) -> Iterator[Check]:
    top = files["identity"]
    yield "user", lambda: _user(top["user"])
    for at, device in enumerate(top["devices"]):
        yield f"device {at}", lambda device=device: _device(device, top["user"])
    yield "space", lambda: _space(top["space"], top["user"])
    yield "derived ids", lambda: _derived(top["derived"], raw(top["space"]["space_id"]))
    yield "invite", lambda: _invite(top["invite"], top)


def _user(user: dict) -> None:
    genesis = UserGenesis.decode(raw(user["genesis"]))
    canonical(UserGenesis.decode, raw(user["genesis"]))
    same(genesis.user_id, raw(user["user_id"]), "user id")
    same(genesis.user_key, crypto.ed25519_public(raw(user["secret"])), "user key")
    commitment = identity.recovery_commitment(crypto.ed25519_public(raw(user["recovery_secret"])))
    same(commitment, raw(user["recovery_commitment"]), "recovery commitment")
    same(genesis.commitment, commitment, "recovery commitment in the genesis")


def _device(device: dict, user: dict) -> None:
    keys = DeviceKeys.decode(raw(device["secrets"]))
    canonical(DeviceKeys.decode, raw(device["secrets"]))
    same(keys.device, raw(device["device_id"]), "device id")
    same(identity.did_key(keys.device), device["did_key"], "did:key")
    same(crypto.x25519_public(keys.noise), raw(device["noise_public"]), "Noise key")
    same(crypto.x25519_public(keys.hpke), raw(device["hpke_public"]), "HPKE key")
    same(keys.claim(), raw(device["claim"]), "claim")
    claim = Claim.decode(raw(device["claim"]))
    canonical(Claim.decode, raw(device["claim"]))
    credential = Credential.decode(raw(device["credential"]))
    canonical(Credential.decode, raw(device["credential"]))
    same(credential.claim, claim, "claim of the credential")
    same(credential.genesis.user_id, raw(user["user_id"]), "user of the credential")
    need(
        raw(device["credential"]).endswith(raw(device["certificate"])), "the certificate is not that of the credential"
    )
    canonical(identity.Certificate.decode, raw(device["certificate"]))


def _space(space: dict, user: dict) -> None:
    genesis = SpaceGenesis.decode(raw(space["genesis"]))
    canonical(SpaceGenesis.decode, raw(space["genesis"]))
    same(genesis.space_id, raw(space["space_id"]), "space id")
    same(genesis.creator.user_id, raw(user["user_id"]), "creator")
    same(identity.space_token(genesis.space_id), raw(space["token"]), "space token")


def _derived(derived: dict, space: bytes) -> None:
    main = identity.partition_id(space, "main")
    cities = identity.collection_id(space, "cities")
    token = identity.partition_token(space, main)
    box = raw(derived["owner_box"])
    bulk = identity.log_id(raw(derived["log_key"]), identity.space_token(space), token, identity.BULK, box)
    expected = {
        "partition_control": identity.partition_id(space, "control"),
        "partition_main": main,
        "partition_token_main": token,
        "collection_cities": cities,
        "document_cities_00501": identity.document_id(space, cities, "00501"),
        "log_bulk": bulk,
    }
    for name, value in expected.items():
        same(value, raw(derived[name]), name)
    same(str(identity.peer_id(bulk)), derived["peer"], "peer")


def _invite(vector: dict, top: dict) -> None:
    invite = Invite.parse(vector["line"])
    same(invite.line(), vector["line"], "line")
    same(invite.addresses, vector["addresses"], "addresses")
    same(invite.expires_ms, vector["expires_ms"], "expiry")
    same(invite.inviter, raw(vector["inviter"]), "Noise key of the inviter")
    same(invite.inviter, raw(top["devices"][0]["noise_public"]), "Noise key of device 0")
    same(invite.space_id, raw(top["space"]["space_id"]), "space")
    same(invite.psk, raw(vector["psk"]), "pre-shared key")


# keys.json


def key_checks(files: Files) -> Iterator[Check]:
    top = files["keys"]
    yield "space", lambda: same(top["space_id"], files["identity"]["space"]["space_id"], "space")
    for at, vector in enumerate(top["epochs"]):
        yield f"epoch {at}: derived keys", lambda vector=vector: _epoch_keys(vector)
        yield f"epoch {at}: record", lambda vector=vector, at=at: _epoch_record(vector, at, files)
    yield "key tree", lambda: _key_tree(top["tree"])


def _epoch_keys(vector: dict) -> None:
    epoch = Epoch(raw(vector["key"]))
    same(epoch.id, raw(vector["epoch_id"]), "epoch id")
    same(epoch.header_key, raw(vector["header_key"]), "header key")
    same(epoch.records_key, raw(vector["records_key"]), "records key")
    same(epoch.key_box_key, raw(vector["key_box_key"]), "key box key")
    same(epoch.owner_key, raw(vector["owner_key"]), "owner key")
    same(crypto.ed25519_public(epoch.admission_seed), raw(vector["admission_public"]), "admission key")
    same(crypto.ed25519_public(epoch.erase_seed), raw(vector["erase_public"]), "erase key")


def _epoch_record(vector: dict, at: int, files: Files) -> None:
    space, epoch = raw(files["keys"]["space_id"]), Epoch(raw(vector["key"]))
    record = KeyEpoch.decode(raw(vector["record"]))
    canonical(KeyEpoch.decode, raw(vector["record"]))
    need(record.is_of(epoch), "the record's id and keys do not derive from the key")
    same(record.generation, vector["generation"], "generation")
    same(len(record.boxes), vector["recipients"], "boxes")
    opened = 0
    for device in files["identity"]["devices"]:
        found = record.open(DeviceKeys.decode(raw(device["secrets"])).hpke, space)
        opened += found is not None
        need(found is None or found.key == epoch.key, "a box holds another key")
    same(opened, len(record.boxes), "boxes that open")
    before = record.open_previous(epoch, space)
    expected = raw(files["keys"]["epochs"][at - 1]["key"]) if at else None
    same(before and before.key, expected, "the previous epoch's key")


def _key_tree(vector: dict) -> None:
    root, leaves = raw(vector["root"]), vector["leaves"]
    same([leaf["node"] for leaf in leaves], [8 + at for at in range(5)], "nodes of five leaves")
    same([leaf["seed"] for leaf in leaves], [identity.node_seed(root, leaf["node"]).hex() for leaf in leaves], "seeds")
    same([step["node"] for step in vector["erased"]], [leaves[3]["node"], leaves[0]["node"]], "the fourth, then the first")
    left, gone = {1: root}, []
    for step in vector["erased"]:
        left = identity.puncture(left, step["node"])
        gone.append(step["node"])
        shown = [{"node": node, "seed": seed.hex()} for node, seed in sorted(left.items())]
        same(shown, step["left"], f"what is left without {gone}")
        for leaf in leaves:
            found = identity.seed_from(left, leaf["node"])
            same(found and found.hex(), None if leaf["node"] in gone else leaf["seed"], f"leaf {leaf['node']}")


# log.json


def log_checks(files: Files) -> Iterator[Check]:
    top = files["log"]
    for name in ("live", "bulk", "together", "control"):
        yield f"{name}: card", lambda vector=top[name]: _card(vector, files)
        for vector in top[name]["entries"]:
            seq = vector["seq"]
            yield f"{name}: entry {seq}", lambda name=name, vector=vector: _entry(top[name], vector, files)
        yield f"{name}: run", lambda vector=top[name]: f"{len(_run(vector))} entries"
    yield "live: content", lambda: _live_content(files)
    yield "bulk: content", lambda: _bulk_content("bulk", 9, files)
    yield "together: content", lambda: _bulk_content("together", 4, files)
    yield "control: content", lambda: _control_content(files)
    yield "pruned entry", lambda: _pruned(top)


def _epochs(files: Files) -> dict[bytes, Epoch]:
    return {epoch.id: epoch for epoch in (Epoch(raw(vector["key"])) for vector in files["keys"]["epochs"])}


def _card(vector: dict, files: Files) -> None:
    data, space = raw(vector["card"]), raw(files["identity"]["space"]["space_id"])
    card = log.Card.decode(data)
    canonical(log.Card.decode, data)
    same(card.encode(), data, "card")
    card.verify(crypto.ed25519_public(_epochs(files)[card.epoch_id].admission_seed))
    same(card.log_key, crypto.ed25519_public(raw(vector["secret"])), "log key")
    same(card.log_id, raw(vector["log_id"]), "log id")
    same(card.space_token, identity.space_token(space), "space token")
    tokens = [identity.partition_token(space, identity.partition_id(space, name)) for name in ("control", "main")]
    need(card.partition_token in tokens, "the card names no partition of the space")
    owner = log.Owner.open(card, _epochs(files)[card.epoch_id])
    prev = [{"h": h.hex(), "log": name.hex(), "seq": seq} for name, seq, h in owner.prev]
    same({"device": owner.device.hex(), "grant": owner.grant, "prev": prev}, vector["owner"], "owner")
    same(owner.device, raw(files["identity"]["devices"][0]["device_id"]), "device")
    seed = DeviceKeys.decode(raw(files["identity"]["devices"][0]["secrets"])).seed
    same(log.make_card(card, owner, seed, _epochs(files)[card.epoch_id]).encode(), data, "card written anew")


def _earlier(card: log.Card, files: Files) -> list[bytes]:
    return log.Owner.open(card, _epochs(files)[card.epoch_id]).earlier


def _entry(vector: dict, entry: dict, files: Files) -> None:
    card, data = log.Card.decode(raw(vector["card"])), raw(entry["bytes"])
    found = log.Entry.decode(data)
    canonical(log.Entry.decode, data)
    same(found.encode(), data, "entry")
    same(found.seq, entry["seq"], "seq")
    same(found.epoch_id(card), raw(entry["epoch_id"]), "epoch")
    same(found.hashes, [raw(text) for text in entry["section_hashes"]], "section hashes")
    same(found.body_hash, raw(entry["body_hash"]), "body hash")
    same(found.chain(raw(entry["h_prev"]), card), raw(entry["h"]), "chain")
    head = log.Head.decode(raw(entry["head"]))
    canonical(log.Head.decode, raw(entry["head"]))
    same((head.seq, head.h), (found.seq, raw(entry["h"])), "head")
    head.verify(card)
    epoch = _epochs(files)[found.epoch_id(card)]
    earlier = _earlier(card, files)
    opener = log.Opener.of(found, card, raw(entry["h_prev"]), epoch, earlier)
    same(opener.header_bytes(), raw(entry["header"]), "header")
    same(opener.header().encode(), raw(entry["header"]), "header written anew")
    canonical(lambda data: log.Header.decode(data, earlier), raw(entry["header"]))
    _contents(vector, entry, opener, files)


def _contents(vector: dict, entry: dict, opener: log.Opener, files: Files) -> None:
    """The plaintext of each section behind the header."""
    header, found = opener.header(), {}
    if header.kind == log.CONTROL:
        found = {1: ("open", opener.open_section()), 2: ("records", opener.records(2))}
    for item in header.items:
        kind, *at = item.key
        if item.dictionary is not None:
            found[item.dictionary - 1] = ("dictionary", opener.records(item.dictionary - 1))
        if kind == 0:
            seed = opener.key_box(at[0])
            found[at[0]] = ("key_box", seed)
        else:
            same(kind, 1, "where the key is")
            earlier = vector["entries"][at[0]]
            card = log.Card.decode(raw(vector["card"]))
            whole = log.Entry.decode(raw(earlier["bytes"]))
            epoch = _epochs(files)[whole.epoch_id(card)]
            seed = log.Opener.of(whole, card, raw(earlier["h_prev"]), epoch, _earlier(card, files)).key_box(at[1])
        found[item.section] = ("body", opener.section(item, seed))
    shown_now = [{"kind": kind, "plain": plain.hex(), "section": at} for at, (kind, plain) in sorted(found.items())]
    same(shown_now, entry["contents"], "contents")
    same(len(shown_now) + 1, len(opener.entry.sections), "sections")


def _run(vector: dict) -> list[tuple[log.Entry, bytes, bytes]]:
    card = log.Card.decode(raw(vector["card"]))
    entries, last = vector["entries"], log.Head.decode(raw(vector["entries"][-1]["head"]))
    run = log.verify_run(card, 0, card.log_id, [raw(entry["bytes"]) for entry in entries], last)
    later = log.verify_run(card, 1, raw(entries[0]["h"]), [raw(entry["bytes"]) for entry in entries[1:]], last)
    same([h for _, _, h in run[1:]], [h for _, _, h in later], "the same run from its middle")
    return run


def _openers(name: str, files: Files) -> list[log.Opener]:
    vector, epochs = files["log"][name], _epochs(files)
    card = log.Card.decode(raw(vector["card"]))
    earlier = _earlier(card, files)
    return [
        log.Opener.of(entry, card, before, epochs[entry.epoch_id(card)], earlier) for entry, before, _ in _run(vector)
    ]


def bodies(openers: list[log.Opener]) -> Iterator[tuple[log.Item, bytes]]:
    """Each item of a log with its update; key boxes are found in the same log."""
    for opener in openers:
        for item in opener.items():
            kind, *at = item.key
            seed = None
            if kind == 0:
                seed = opener.key_box(at[0])
            elif kind == 1:
                seed = openers[at[0]].key_box(at[1])
            need(kind != 2, "a key of another log")
            yield item, opener.body(item, seed)


def _live_content(files: Files) -> None:
    openers, derived = _openers("live", files), files["identity"]["derived"]
    found = list(bodies(openers))
    same([item.document.hex() for item, _ in found], [derived["document_cities_00501"]] * 2, "documents")
    document = import_updates([found[0][1]], openers[0].place.log)
    same(document["meta"]["key"], files["documents"]["update"]["key"], "key")
    need(openers[0].header().collections == [raw(derived["collection_cities"])], "collection")


def _bulk_content(name: str, documents: int, files: Files) -> None:
    openers = _openers(name, files)
    found = list(bodies(openers))
    same(len({item.document for item, _ in found}), documents, "documents")
    for item, update in found:
        document = import_updates([update], openers[0].place.log)
        need("city" in document["doc"], "a row of the sample")


def _control_content(files: Files) -> None:
    for at, opener in enumerate(_openers("control", files)):
        same(opener.open_section(), raw(files["keys"]["epochs"][at]["record"]), "key epoch record")
        records = control.decode_records(opener.records(2))
        canonical(control.decode_records, opener.records(2))
        need(bool(records), "no record")


def _pruned(top: dict) -> None:
    vector, whole = top["pruned"], top["bulk"]
    entry, card = log.Entry.decode(raw(vector["bytes"])), log.Card.decode(raw(whole["card"]))
    canonical(log.Entry.decode, raw(vector["bytes"]))
    same(entry.encode(), raw(vector["bytes"]), "entry")
    same([section is not None for section in entry.sections], [at < 4 for at in range(len(entry.sections))], "sections")
    same(entry.chain(card.log_id, card), raw(vector["h"]), "chain")
    same(vector["h"], whole["entries"][0]["h"], "chain of the whole entry")


# control.json


def control_checks(files: Files) -> Iterator[Check]:
    top = files["control"]
    for vector in top["lists"]:
        yield vector["record"], lambda vector=vector: _record(vector, files)
    yield "all in one list", lambda: _all_records(top)


def _record(vector: dict, files: Files) -> None:
    records = control.decode_records(raw(vector["list"]))
    canonical(control.decode_records, raw(vector["list"]))
    same(len(records), 1, "records")
    match records[0]:
        case control.Device(data) as record:
            same(vector["record"], "device", "record")
            need(record.credential() is not None, "the credential does not verify")
            same(data, raw(files["identity"]["devices"][1]["credential"]), "credential")
        case control.Named(kind, name):
            same(vector["record"], {control.PARTITION: "partition", control.SPACE_NAME: "space_name"}[kind], "record")
            same(name, vector["name"], "name")
        case control.EpochWant(epoch):
            same(vector["record"], "epoch_want", "record")
            same(vector["epoch"], epoch.hex(), "epoch")
        case control.Unknown(kind, body):
            same(vector["record"], "unknown", "record")
            same((kind, body), (vector["kind"], raw(vector["body"])), "kind and body")


def _all_records(top: dict) -> None:
    parts = [raw(vector["list"]) for vector in top["lists"]]
    canonical(control.decode_records, raw(top["all"]))
    same(raw(top["all"]), bytes([len(parts)]) + b"".join(part[1:] for part in parts), "list")


# trie.json


def trie_checks(files: Files) -> Iterator[Check]:
    for vector in files["trie"]["sets"]:
        yield f"{vector['logs']} logs", lambda vector=vector: _trie(vector)
    yield "space", lambda: _space_trie(files["trie"]["space"])


def _trie(vector: dict) -> None:
    items = {}
    for at in range(vector["logs"]):
        name = crypto.plain_hash(bytes([at]))
        items[name] = trie.log_item(name, at, bytes([at]) * 32)
    same(trie.root(items), raw(vector["root"]), "root")
    if len(items) <= trie.LEAF_MAX:
        top = [[key.hex(), items[key].hex()] for key in sorted(items)]
    else:
        top = [child and child.hex() for child in trie.children(items, 0)]
    same(top, vector["top"], "node at the root")


def _space_trie(vector: dict) -> None:
    partitions = {
        raw(partition["token"]): {raw(tip["log"]): (tip["seq"], raw(tip["h"])) for tip in partition["logs"]}
        for partition in vector["partitions"]
    }
    for partition in vector["partitions"]:
        tips = partitions[raw(partition["token"])]
        same(trie.root(trie.log_items(tips)), raw(partition["root"]), "root of a partition")
    same(trie.space_root(partitions), raw(vector["root"]), "root of the space")


# messages.json


def message_checks(files: Files) -> Iterator[Check]:
    for vector in files["messages"]:
        yield vector["message"], lambda vector=vector: _message(vector)


def _message(vector: dict) -> None:
    data = raw(vector["bytes"])
    message = wire.decode(data)
    if message.name != "app":  # its body is whatever follows
        canonical(wire.decode, data)
    case = "_cursor" if message.fields.get("cursor") else ""
    if message.name == "range" and message.card:
        case = "_card" if message.opens is None else "_opens"
    same(message.name + case, vector["message"], "message")
    same(shown(message.fields), vector["fields"], "fields")


def shown(value: Any) -> Any:
    """A decoded message the way the vectors show it: bytes in hexadecimal, a log as [handle, whose]."""
    match value:
        case bytes():
            return value.hex()
        case dict():
            return {name: shown(item) for name, item in value.items()}
        case list() | tuple():
            return [shown(item) for item in value]
    return value


# frames.json


def frame_checks(files: Files) -> Iterator[Check]:
    for at, vector in enumerate(files["frames"]):
        yield f"plaintext {at}", lambda vector=vector: _frames(vector)


def _frames(vector: dict) -> None:
    assembly = wire.Assembly()
    found = [
        {"bytes": message.hex(), "channel": channel} for channel, message in assembly.take(raw(vector["plaintext"]))
    ]
    same(found, vector["messages"], "messages")
    need(not assembly.open, "a message is still open")
    again = wire.Assembly()
    parts = [wire.frame(channel, message) for channel, message in wire.Assembly().take(raw(vector["plaintext"]))]
    same([m.hex() for _, m in again.take(b"".join(parts))], [m["bytes"] for m in vector["messages"]], "written anew")


# handshake.json


def handshake_checks(files: Files) -> Iterator[Check]:
    for name, pattern in (("xx", wire.XX), ("xxpsk0", wire.XXPSK0)):
        vector = files["handshake"][name]
        yield f"{name}: initiator", lambda v=vector, p=pattern: _handshake(v, p, True, files)
        yield f"{name}: responder", lambda v=vector, p=pattern: _handshake(v, p, False, files)
        yield f"{name}: Hellos", lambda v=vector, p=pattern: _hellos(v, p, files)


def _handshake(vector: dict, pattern: int, initiator: bool, files: Files) -> None:
    same(wire.preamble(pattern), raw(vector["preamble"]), "preamble")
    psk = raw(vector["psk"]) if vector["psk"] else None
    same(psk, raw(files["identity"]["invite"]["psk"]) if pattern == wire.XXPSK0 else None, "pre-shared key")
    side = vector["initiator" if initiator else "responder"]
    secret = DeviceKeys.decode(raw(files["identity"]["devices"][side["device"]]["secrets"])).noise
    noise = Noise(pattern, initiator, secret, psk, crypto.chacha20_stream(raw(side["seed"]), 32))
    sent = [raw(text) for text in vector["sent"]]
    need(sent[0].startswith(raw(vector["preamble"])), "no preamble")
    sent[0] = sent[0][8:]
    payloads = [b"", raw(vector["responder"]["hello"]), raw(vector["initiator"]["hello"])]
    for at, (data, payload) in enumerate(zip(sent, payloads, strict=True)):
        if initiator == (at % 2 == 0):
            same(framed(noise.write(payload)), data, f"message {at + 1}")
        else:
            (message,) = unframed(data)
            same(noise.read(message), payload, f"payload {at + 1}")
    same(noise.hash, raw(vector["handshake_hash"]), "handshake hash")
    plain, sealed = raw(vector["first_messages"]["plaintext"]), raw(vector["first_messages"]["sealed_twice"])
    if initiator:
        same(framed(noise.seal(plain)) + framed(noise.seal(plain)), sealed, "sealed messages")
    else:
        same([noise.open(message) for message in unframed(sealed)], [plain, plain], "opened messages")


def _hellos(vector: dict, pattern: int, files: Files) -> None:
    hellos = [wire.Hello.decode(raw(vector[side]["hello"])) for side in ("initiator", "responder")]
    for side, hello in zip(("initiator", "responder"), hellos):
        canonical(wire.Hello.decode, raw(vector[side]["hello"]))
        same(hello.encode().hex(), vector[side]["hello"], "Hello written anew")
        device = files["identity"]["devices"][vector[side]["device"]]
        if hello.claim is None:
            same(hello.credential, raw(device["credential"]), "credential")
        else:
            same(hello.claim, raw(device["claim"]), "claim")
    need((hellos[0].claim is not None) == (pattern == wire.XXPSK0), "a claim outside pattern 2")
    same(wire.settle(hellos[0], hellos[1], raw(vector["preamble"])), (0, 1), "version")


# documents.json


def document_checks(files: Files) -> Iterator[Check]:
    top = files["documents"]
    for at, vector in enumerate(top["values"]):
        yield f"value {at}", lambda vector=vector: _value(vector)
    yield "update", lambda: _update(top["update"], files)


def _value(vector: dict) -> None:
    value = values.decode(raw(vector["encoding"]))
    canonical(values.decode, raw(vector["encoding"]))
    same(values.encode(value), raw(vector["encoding"]), "encoding")
    same(values.digest(value), raw(vector["digest"]), "digest")


def _update(vector: dict, files: Files) -> None:
    live = raw(files["log"]["live"]["log_id"])
    same(str(identity.peer_id(live)), vector["peer"], "peer")
    update = raw(vector["bytes"])
    document = import_updates([update], live, (vector["start"], vector["end"]))
    same(document["meta"], {"collection": vector["collection"], "key": vector["key"]}, "meta")
    same(values.encode(document["doc"]), raw(vector["value"]), "value")


def import_updates(updates: list[bytes], of_log: bytes, span: tuple[int, int] | None = None) -> dict:
    """Both roots of the document that one log's updates make, each checked by documents.md 4 first."""
    document, peer, end = loro.LoroDoc(), identity.peer_id(of_log), 0
    for update in updates:
        need(len(update) <= log.PLAIN_BYTES_MAX, "an update is too long")
        update = values.within_envelope(update)
        try:
            meta = loro.LoroDoc.decode_import_blob_meta(update, True)
            need(meta.mode == loro.EncodedBlobMode.Updates, "the mode is not updates")
            spans = meta.partial_end_vv.sub_vec(meta.partial_start_vv).inner()
            need(list(spans) == [peer], "not the operations of the log's peer alone")
            need(spans[peer][0] == end, "operations that do not follow the last")
            status = document.import_(update)
        except Refused:
            raise
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the bindings raise BaseException itself
            raise Refused(f"Loro refuses an update: {error}") from error
        need(status.pending is None, "operations are pending")
        end = spans[peer][1]
    if span is not None:
        same((0, end), span, "counters")
    found = document.get_deep_value()
    return {"doc": found.get("doc", {}), "meta": found.get("meta", {})}


# exclusion.json


def exclusion_checks(files: Files) -> Iterator[Check]:
    for at, vector in enumerate(files["exclusion"]["kept"]):
        yield f"kept {at}", lambda vector=vector: _kept(vector)
    for at, vector in enumerate(files["exclusion"]["excluded"]):
        yield f"excluded {at}", lambda vector=vector: _excluded(vector)


def _summed(vector: dict) -> None:
    case = {name: value for name, value in vector.items() if name != "sum"}
    text = json.dumps(case, sort_keys=True, separators=(",", ":"))
    same(crypto.plain_hash(text.encode()), raw(vector["sum"]), "sum")


def _kept(vector: dict) -> None:
    _summed(vector)
    histories = [[raw(h) for h in chain] for chain in vector["histories"]]
    author = vector["author"] and (raw(vector["author"]["user"]), raw(vector["author"]["device"]))
    citations = [(raw(c["user"]), raw(c["device"]), c["seq"], raw(c["h"])) for c in vector["citations"]]
    same(exclusion.kept(histories, author, citations), vector["kept"], "the history that is kept")


def _excluded(vector: dict) -> None:
    _summed(vector)
    logs = {raw(of["log"]): ([[raw(h) for h in chain] for chain in of["histories"]], of["kept"]) for of in vector["logs"]}
    entries = [(_at(entry["at"]), [_at(dep) for dep in entry["deps"]]) for entry in vector["entries"]]
    same(sorted(exclusion.excluded(entries, logs)), vector["excluded"], "excluded entries")


def _at(vector: dict) -> exclusion.At:
    return exclusion.At(raw(vector["log"]), vector["seq"], raw(vector["h"]))


# refused.json


def refused_checks(files: Files) -> Iterator[Check]:
    for at, vector in enumerate(files["refused"]):
        yield f"{at}: {vector['what']} {vector['why']}", lambda vector=vector: _refused(vector, files)


DECODERS: dict[str, Callable[[bytes], Any]] = {
    "user genesis": UserGenesis.decode,
    "claim": Claim.decode,
    "credential": Credential.decode,
    "space genesis": SpaceGenesis.decode,
    "key epoch": KeyEpoch.decode,
    "card": log.Card.decode,
    "entry": log.Entry.decode,
    "head": log.Head.decode,
    "header": log.Header.decode,
    "records": control.decode_records,
    "hello": wire.Hello.decode,
    "message": wire.decode,
    "value": values.decode,
}


def _refused(vector: dict, files: Files) -> None:
    if vector["what"] == "owner box":
        return _refused_owner(raw(vector["bytes"]), files)
    decode = DECODERS[vector["what"]]
    try:
        decode(raw(vector["bytes"]))
    except Refused:
        return
    raise Refused("it was accepted")


def _refused_owner(data: bytes, files: Files) -> None:
    """An admitted card whose owner box says nothing."""
    card, epoch = log.Card.decode(data), Epoch(raw(files["keys"]["epochs"][0]["key"]))
    card.verify(crypto.ed25519_public(epoch.admission_seed))
    try:
        log.Owner.open(card, epoch)
    except Refused:
        return
    raise Refused("it was accepted")


# One encoding each


def canonical(decode: Callable[[bytes], Any], data: bytes) -> None:
    """Nothing but `data` itself decodes: not with a byte more or less, not with a number written longer."""
    for spoiled in (data + b"\0", data[:-1]):
        _must_refuse(decode, spoiled)
    readers: list[Reader] = []
    _watched(decode, data, readers)
    for reader in readers:
        if reader.data != data:
            continue
        for start, end in reader.varints[:40]:
            longer = data[start : end - 1] + bytes([data[end - 1] | 0x80, 0])
            _must_refuse(decode, data[:start] + longer + data[end:])


def _watched(decode: Callable[[bytes], Any], data: bytes, readers: list[Reader]) -> None:
    original = Reader.__init__

    def watch(self: Reader, data: bytes) -> None:
        original(self, data)
        readers.append(self)

    Reader.__init__ = watch  # type: ignore[method-assign]
    try:
        decode(data)
    finally:
        Reader.__init__ = original  # type: ignore[method-assign]


def _must_refuse(decode: Callable[[bytes], Any], data: bytes) -> None:
    try:
        decode(data)
    except Refused:
        return
    raise Refused("bytes that are not canonical were accepted")
