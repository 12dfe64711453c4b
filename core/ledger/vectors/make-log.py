"""Writes log-v1.json: a log, a receipt and marks made from FORMAT.md alone, by another language and other libraries.

Needs Python's `cryptography`. The same every time. Run it only to make the vector anew:
    python3 core/ledger/vectors/make-log.py > core/ledger/vectors/log-v1.json
"""
import base64, hashlib, hmac, json
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ORIGIN = 'verbatim-0123456789abcdef'
RECORDING = '0d3c4f5e-1111-4222-8333-444455556666'
CALL = '7a7a7a7a-aaaa-4bbb-8ccc-ddddeeeeffff'
BOOT = '99999999-8888-4777-8666-555544443333'


def sha(*parts):
    return hashlib.sha256(b''.join(parts)).digest()


def b64(data):
    return base64.b64encode(data).decode()


def root(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else sha()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return sha(b'\1', root(leaves[:k]), root(leaves[k:]))


def path(index, leaves):
    if len(leaves) == 1:
        return []
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if index < k:
        return path(index, leaves[:k]) + [root(leaves[k:])]
    return path(index - k, leaves[k:]) + [root(leaves[:k])]


seed = bytes(range(32))
key = Ed25519PrivateKey.from_private_bytes(seed)
public = b'\1' + key.public_key().public_bytes_raw()
key_hash = sha(ORIGIN.encode(), b'\n', public)[:4]
vkey = f'{ORIGIN}+{key_hash.hex()}+{b64(public)}'
skey = f'PRIVATE+KEY+{ORIGIN}+{key_hash.hex()}+{b64(bytes([1]) + seed)}'


def note(text):
    return f'{text}\n\u2014 {ORIGIN} {b64(key_hash + key.sign(text.encode()))}\n'


salt = bytes(range(100, 132))
file = 'Verbatim, a vector: é, 録音.'.encode()


def hidden(kind, value):
    return hmac.new(salt, f'{kind}\n{value}'.encode(), 'sha256').hexdigest()


marks = {kind: {'value': value, 'mark': hidden(kind, value)}
         for kind, value in [('party', 'user-1'), ('device', 'Ünï 9'), ('chat', 'chat\n2')]}
sha512 = hashlib.sha512(file).digest()
commitment = hmac.new(salt, b'verbatim/commit/v1\n' + sha(file) + sha512, 'sha256').hexdigest()

entries, leaves, last = [], [], {}


def enter(t, id, sub, d):
    n = len(entries)
    entry = {'v': 1, 't': t, 'id': id, 'ts': f'2030-01-02T03:04:{n:02}.678Z', 'boot': BOOT, 'mono': 1000 * n, 'sub': sub,
             'prev': last.get(sub), 'actor': {'kind': 'server'}, 'd': d}
    text = json.dumps(entry, ensure_ascii=False, separators=(',', ':'))
    entries.append(text)
    leaves.append(sha(b'\0', text.encode()))
    last[sub] = leaves[-1].hex()


enter('sys.init', 'sys.init', 'log', {'origin': ORIGIN, 'vkey': vkey, 'version': '1.0.0'})
for side in ('caller', 'callee'):
    enter('call.consent', f'consent.{side}', f'rec:{RECORDING}', {
        'call': CALL, 'side': side, 'party': marks['party']['mark'], 'text': 'Dieses Gespräch wird aufgenommen „ganz“ 🎙'})
enter('rec.final', 'rec.final', f'rec:{RECORDING}', {'call': CALL, 'commitment': commitment, 'lost': 0.25, 'none': None})
enter('config.change', 'a/b', 'log', {'what': 'quote " and \\ and / and \u2028'})

text = f'{ORIGIN}\n{len(leaves)}\n{b64(root(leaves))}\n'
checkpoint = note(text)
proofs = []
for index in range(len(leaves)):
    hashes = ''.join(b64(h) + '\n' for h in path(index, leaves))
    proofs.append(f'c2sp.org/tlog-proof@v1\nindex {index}\n{hashes}\n{checkpoint}')
bundle = b''.join(len(e.encode()).to_bytes(2, 'big') + e.encode() for e in entries)
head = sha(b'head').hex()
receipt = f'verbatim/head-receipt/v1\n{ORIGIN}\n{RECORDING}\n{CALL}\n1\n60\n{head}\n2030-01-02T03:04:05.678Z\n'

print(json.dumps({
    'source': 'make-log.py', 'skey': skey, 'vkey': vkey, 'origin': ORIGIN, 'recording': RECORDING, 'call': CALL,
    'entries': entries, 'leaves': [leaf.hex() for leaf in leaves], 'root': root(leaves).hex(),
    'bundle': b64(bundle), 'checkpoint': checkpoint, 'proofs': proofs, 'head': head, 'receipt': note(receipt),
    'salt': salt.hex(), 'marks': marks, 'sha256': sha(file).hex(), 'sha512': sha512.hex(), 'commitment': commitment,
}, ensure_ascii=False, indent=1))
