/** README.txt of an evidence bundle: how to check it without this server, and what that proves. */
export function bundleReadme(facts: { recordingId: string; origin: string; verifier: boolean }): Buffer {
  const quick = facts.verifier
    ? `The quick way: unpack this zip, open verify.html in a current browser (it uses no network) and give it the zip;
or run

    node verify.mjs BUNDLE.zip

with Node 20 or newer. Both are in this bundle, so whoever made the bundle made them as well. To rely on nobody,
take the verifier from the source code of Verbatim, or check by hand as below.
`
    : '';
  return Buffer.from(`Evidence of the secure call recording ${facts.recordingId}

${quick}
What is in here
  recording.webm       both sides as captured, Opus in WebM, caller left, callee right
  entries/*.json       three entries of the server's ledger, byte for byte: both consents, and the finished recording
  proofs/*.tlog-proof  that they are in the ledger (c2sp.org/tlog-proof, RFC 6962), under the signed head in checkpoint
  checkpoint           the first signed head of the ledger "${facts.origin}" that covers them (c2sp.org/tlog-checkpoint)
  ledger.vkeys         the ledger's public keys (c2sp.org/signed-note), the newest last
  opening.json         the salt and the hashes that open what the entries only commit to
  coverage.json        what was captured and what was not: loss, gaps, mute spans, reconnects
  disclosure-*.txt     the exact text that each side agreed to
  receipts/            heads of the recording that the server signed while the call ran
  chain/               the chain of hashes that leads from the first captured block to the last, without any audio
  vcon.json            the same call as a signed vCon (IETF draft-ietf-vcon-vcon-core)
  manifest.json        size and SHA-256 of every other file

By hand, with common tools
  sha256sum recording.webm            must be "sha256" in opening.json
  sha512sum recording.webm            must be "sha512" in opening.json
  the commitment                      HMAC-SHA-256 with the salt (hex) as key, over the 19 bytes "verbatim/commit/v1\\n",
                                      then both digests as raw bytes, is "commitment" in entries/rec-final.json
  a consent's party                   HMAC-SHA-256 with the salt over "party\\n" and the user id in opening.json
  the signature on checkpoint         Ed25519 by the key in ledger.vkeys (the last 32 bytes of its base64), over the
                                      text up to the empty line; the signature is the base64 behind the name without
                                      its first 4 bytes: openssl pkeyutl -verify -rawin does it
Verbatim's docs/evidence.md shows all of it step by step, with a short Python script that does everything.

What it proves, when everything fits
  that this recording, these consents and this coverage are what the holder of the ledger's key entered, in this order,
  and that nothing of it was changed since the checkpoint. Compare ledger.vkeys with the keys that the server publishes
  at /v1/ledger/vkeys, and the checkpoint with one that somebody else kept.
What it does not prove
  who sat at the two devices, that the server's clock was right, or that its operator has kept one ledger only. A second
  ledger is found out by comparing checkpoints and the head receipts that both clients kept. Recordings are
  tamper-evident; nothing here claims that they could not be destroyed.
`);
}
