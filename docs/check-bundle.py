#!/usr/bin/env python3
"""Checks a Verbatim evidence bundle with nothing but Python's standard library and the openssl command.

    python3 check-bundle.py BUNDLE.zip

It shares no code with the server or with verify.mjs. Exit code 0: everything fits; 1: something does not; 2: it could not
be looked at.
Whoever made the bundle chose the list of keys in it: each key that is printed at the end, because it signed something,
must be among those that the server publishes at /v1/ledger/vkeys.
"""
import base64
import hashlib
import hmac
import json
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile


def check(ok, what):
    print(("ok    " if ok else "WRONG ") + what)
    if not ok:
        sys.exit(1)


def ed25519(public_key, text, signature):
    """openssl wants files: the key as SubjectPublicKeyInfo (RFC 8410), the text and the signature as they are."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in (
            ("key", bytes.fromhex("302a300506032b6570032100") + public_key),
            ("text", text),
            ("signature", signature),
        ):
            with open(f"{folder}/{name}", "wb") as file:
                file.write(data)
        command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", f"{folder}/key",
                   "-rawin", "-in", f"{folder}/text", "-sigfile", f"{folder}/signature"]
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def open_note(note, vkeys, signed_by):
    """A C2SP signed note: its text, when one of the keys signed it; that key is added to signed_by."""
    text, signatures = note.rsplit("\n\n", 1)
    text += "\n"
    for line in signatures.splitlines():
        _, name, encoded = line.split(" ")
        raw = base64.b64decode(encoded, validate=True)
        for vkey in vkeys:
            key_name, key_hash, key = vkey.split("+", 2)
            if name == key_name and raw[:4].hex() == key_hash:
                if ed25519(base64.b64decode(key)[1:], text.encode(), raw[4:]):
                    signed_by.add(vkey)
                    return text
    return None


def leaf_hash(entry):
    return hashlib.sha256(b"\x00" + entry).digest()


def root_from(index, size, leaf, hashes):
    """RFC 9162 section 2.1.3.2."""
    position, last, node = index, size - 1, leaf
    for each in hashes:
        if last == 0:
            return None
        if position & 1 or position == last:
            node = hashlib.sha256(b"\x01" + each + node).digest()
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            node = hashlib.sha256(b"\x01" + node + each).digest()
        position >>= 1
        last >>= 1
    return node if last == 0 else None


def included(entry, proof, vkeys, signed_by):
    """A C2SP tlog-proof: header, index, hashes, an empty line, and the checkpoint that they lead to."""
    head, checkpoint = proof.split("\n\n", 1)
    lines = [line for line in head.split("\n") if not line.startswith("extra ")]
    text = open_note(checkpoint, vkeys, signed_by)
    if lines[0] != "c2sp.org/tlog-proof@v1" or text is None:
        return False
    index = int(lines[1].removeprefix("index "))
    _, size, root = text.split("\n")[:3]
    hashes = [base64.b64decode(line, validate=True) for line in lines[2:]]
    return index < int(size) and root_from(index, int(size), leaf_hash(entry), hashes) == base64.b64decode(root)


def fold(chain):
    """The light chain of a journal: every head c[i], computed from the file header and 64 bytes for each block."""
    (length,) = struct.unpack(">I", chain[8:12])
    at = 12 + length
    heads = [hashlib.sha256(chain[:at]).digest()]
    for block in range(at, len(chain), 64):
        heads.append(hashlib.sha256(b"\x02" + heads[-1] + chain[block:block + 64]).digest())
    return [head.hex() for head in heads]


def main(path):
    with zipfile.ZipFile(path) as bundle:
        files = {name: bundle.read(name) for name in bundle.namelist()}
    text = {name: data.decode() for name, data in files.items() if not name.endswith(".webm") and not name.startswith("chain/")}

    manifest = json.loads(files["manifest.json"])
    listed = {row["name"]: row for row in manifest["files"]}
    check(set(listed) == set(files) - {"manifest.json"}, "the bundle holds the files of its manifest, and no other")
    for name, row in listed.items():
        data = files[name]
        check((len(data), hashlib.sha256(data).hexdigest()) == (row["size"], row["sha256"]), f"size and hash of {name}")

    vkeys = text["ledger.vkeys"].split()
    signed_by = set()
    check(open_note(text["checkpoint"], vkeys, signed_by) is not None, "the checkpoint carries the log's signature")

    entries = {}
    for name in ("consent-caller", "consent-callee", "rec-final"):
        entries[name] = files[f"entries/{name}.json"]
        check(included(entries[name], text[f"proofs/{name}.tlog-proof"], vkeys, signed_by), f"{name} is an entry of the log")
    final = json.loads(entries["rec-final"])["d"]

    opening = json.loads(files["opening.json"])
    salt = bytes.fromhex(opening["salt"])
    recording = files["recording.webm"]
    content = hashlib.sha256(recording).digest() + hashlib.sha512(recording).digest()
    commitment = hmac.new(salt, b"verbatim/commit/v1\n" + content, hashlib.sha256).hexdigest()
    check(commitment == final["commitment"], "the recording is the one that the entry commits to")
    check(hashlib.sha256(files["coverage.json"]).hexdigest() == final["coverageSha256"], "the coverage report is the entry's")

    for side, consent_hash in zip(("caller", "callee"), final["consents"]):
        entry = entries[f"consent-{side}"]
        consent = json.loads(entry)["d"]
        check(leaf_hash(entry).hex() == consent_hash, f"the entry names the {side}'s consent")
        mark = hmac.new(salt, f"party\n{opening[side]}".encode(), hashlib.sha256).hexdigest()
        check(mark == consent["party"], f"the {side} who consented is {opening[side]}, at {consent['at']}")
        shown = hashlib.sha256(files[f"disclosure-{side}.txt"]).hexdigest()
        check(shown == consent["disclosure"]["sha256"], f"disclosure-{side}.txt is the text that was agreed to")

    heads = {}
    for journal in final["journals"]:
        epoch = journal["epoch"]
        heads[epoch] = fold(files[f"chain/epoch-{epoch}"])
        check(heads[epoch][journal["seq"]] == journal["head"], f"journal {epoch}: {journal['seq']} blocks lead to its head")
    for name in sorted(each for each in files if each.startswith("receipts/")):
        receipt = open_note(text[name], vkeys, signed_by)
        check(receipt is not None, f"{name} carries the log's signature")
        _, _, _, _, epoch, seq, head, at = receipt.splitlines()
        check(heads[int(epoch)][int(seq)] == head, f"what was signed during the call, at {at}, is in the journal")
    print("Everything fits, if the server publishes:")
    for vkey in sorted(signed_by):
        print(f"      {vkey}")


def stop(code, sentence):
    print(sentence, file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        stop(2, __doc__)
    if shutil.which("openssl") is None:
        stop(2, "The command openssl is needed, and it is not here.")
    try:
        main(sys.argv[1])
    except (zipfile.BadZipFile, OSError) as error:
        stop(2, f"{sys.argv[1]} cannot be read as a zip: {error}")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error) as error:
        # A file that is missing or not written as the format says: whatever else fits, this is no whole bundle.
        check(False, f"every file is as the format says ({type(error).__name__}: {error})")
