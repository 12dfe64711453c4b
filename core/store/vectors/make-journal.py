"""Writes journal-v1.json: a journal made from FORMAT.md alone, by another language and other libraries.

Needs the `age` command and Python's `cryptography`. Run it only to make the vector anew:
    python3 core/store/vectors/make-journal.py > core/store/vectors/journal-v1.json
"""
import base64, hashlib, json, struct, subprocess, tempfile, os
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

B32 = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'


def bech32_bytes(text):
    data = [B32.index(c) for c in text.lower().rsplit('1', 1)[1]][:-6]
    bits = ''.join(f'{d:05b}' for d in data)
    return bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits) // 8 * 8, 8))


def b64(text):
    return base64.b64decode(text + '=' * (-len(text) % 4))


def sha(*parts):
    return hashlib.sha256(b''.join(parts)).digest()


def hkdf(ikm, salt, info):
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(ikm)


with tempfile.TemporaryDirectory() as folder:
    key_file = os.path.join(folder, 'key')
    subprocess.run(['age-keygen', '-o', key_file], check=True, capture_output=True)
    lines = open(key_file).read().splitlines()
    identity = lines[-1]
    recipient = [l for l in lines if 'public key' in l][0].split(': ')[1]
    sealed = subprocess.run(['age', '-r', recipient], input=b'', check=True, capture_output=True).stdout

age_header = sealed[:sealed.index(b'\n', sealed.index(b'\n---')+ 1) + 1]
stanza = age_header.decode().splitlines()[1:3]
share, body = b64(stanza[0].split(' ')[2]), b64(stanza[1])
secret = X25519PrivateKey.from_private_bytes(bech32_bytes(identity))
public = secret.public_key().public_bytes_raw()
shared = secret.exchange(X25519PublicKey.from_public_bytes(share))
wrap_key = hkdf(shared, share + public, b'age-encryption.org/v1/X25519')
file_key = ChaCha20Poly1305(wrap_key).decrypt(bytes(12), body, None)

recording = '0d3c4f5e-1111-4222-8333-444455556666'
key = hkdf(file_key, recording.encode(), b'verbatim/journal/v1')
header = json.dumps({
    'v': 1, 'recording': recording, 'call': '7a7a7a7a-aaaa-4bbb-8ccc-ddddeeeeffff', 'epoch': 2,
    'created': '2026-11-20T10:11:12.345Z', 'recorder': 'vector', 'prev': 'ab' * 32,
    'age': base64.b64encode(age_header).decode(),
}).encode()
out = b'SCJRNL1\n' + struct.pack('>I', len(header)) + header
chain = sha(out)
out += chain
heads = [chain.hex()]


def record(leg, flags, us, packet):
    return struct.pack('>BBHI', leg, flags, len(packet), us) + packet


packets = [bytes(range(12, 12 + n)) for n in (12, 60, 100)]
blocks = [
    (1, 5_000_000_001, 1_790_000_000_000, record(0, 0, 0, packets[0]) + record(1, 1, 20_000, packets[1])),
    (2, 5_000_400_000, 1_790_000_000_400, json.dumps({'mark': 'mute', 'leg': 1}).encode()),
    (1, 2**40 + 7, 1_790_000_001_000, record(0, 0, 0, packets[2]) + record(0, 0, 70_000, b'')),
    (3, 2**40 + 9, 1_790_000_001_100, json.dumps({'reason': 'hangup'}).encode()),
]
for seq, (kind, us, ms, plain) in enumerate(blocks, 1):
    head = b'SCB1' + struct.pack('>B3xIIQQ', kind, seq, len(plain) + 16, us, ms)
    sealed = ChaCha20Poly1305(key).encrypt(bytes(8) + struct.pack('>I', seq), plain, chain + head)
    chain = sha(b'\x02', chain, head, hashlib.sha256(sealed).digest())
    out += head + sealed + chain
    heads.append(chain.hex())

print(json.dumps({
    'identity': identity, 'journal': base64.b64encode(out).decode(), 'heads': heads,
    'blocks': [{'type': t, 'monotonicUs': us, 'wallMs': ms, 'plaintext': p.hex()} for t, us, ms, p in blocks],
}, indent=1))
