import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import type { AssertionAnswer, PasskeyChallenge, RegistrationAnswer } from '#protocol';

/** For tests: an authenticator in software, as WebAuthn Level 3 describes one (§6), with a key for each credential. */
export class SoftwareAuthenticator {
  readonly #pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  readonly credentialId = randomBytes(32);
  /** What it reports; a test may set it back, as a copy would. */
  counter = 0;
  /** Whether it says that it checked who is there. */
  verifiesUser = true;

  /** Answers a challenge to enrol, on a page of this origin. */
  create({ options }: PasskeyChallenge, origin: string): RegistrationAnswer {
    const { challenge, rp } = options as { challenge: string; rp: { id: string } };
    const { x = '', y = '' } = this.#pair.publicKey.export({ format: 'jwk' });
    // COSE_Key of an EC2 key for ES256 (RFC 9053 §7.1.1).
    const coseKey = cborMap([
      [cborInt(1), cborInt(2)],
      [cborInt(3), cborInt(-7)],
      [cborInt(-1), cborInt(1)],
      [cborInt(-2), cborBytes(Buffer.from(x, 'base64url'))],
      [cborInt(-3), cborBytes(Buffer.from(y, 'base64url'))],
    ]);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(this.credentialId.length);
    const attested = Buffer.concat([Buffer.alloc(16), length, this.credentialId, coseKey]);
    const authData = Buffer.concat([this.#header(rp.id, 0x40), attested]);
    const attestationObject = cborMap([
      [cborText('fmt'), cborText('none')],
      [cborText('attStmt'), cborMap([])],
      [cborText('authData'), cborBytes(authData)],
    ]);
    return {
      ...this.#credential(),
      response: {
        clientDataJSON: clientData('webauthn.create', challenge, origin).toString('base64url'),
        attestationObject: attestationObject.toString('base64url'),
      },
    };
  }

  /** Answers a challenge to prove, on a page of this origin. */
  get({ options }: PasskeyChallenge, origin: string): AssertionAnswer {
    const { challenge, rpId } = options as { challenge: string; rpId: string };
    this.counter += 1;
    const authenticatorData = this.#header(rpId, 0);
    const data = clientData('webauthn.get', challenge, origin);
    const hash = createHash('sha256').update(data).digest();
    return {
      ...this.#credential(),
      response: {
        clientDataJSON: data.toString('base64url'),
        authenticatorData: authenticatorData.toString('base64url'),
        signature: sign('sha256', Buffer.concat([authenticatorData, hash]), this.#pair.privateKey).toString(
          'base64url',
        ),
      },
    };
  }

  /** RP id hash, flags (present, verified), counter (§6.1). */
  #header(rpId: string, flags: number): Buffer {
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(this.counter);
    const all = flags | 0x01 | (this.verifiesUser ? 0x04 : 0);
    return Buffer.concat([createHash('sha256').update(rpId).digest(), Buffer.of(all), counter]);
  }

  #credential() {
    const id = this.credentialId.toString('base64url');
    return { id, rawId: id, type: 'public-key' as const, clientExtensionResults: {} };
  }
}

function clientData(type: string, challenge: string, origin: string): Buffer {
  return Buffer.from(JSON.stringify({ type, challenge, origin, crossOrigin: false }));
}

// CBOR (RFC 8949), as much as an authenticator says.

function head(major: number, value: number): Buffer {
  if (value < 24) return Buffer.of((major << 5) | value);
  if (value < 256) return Buffer.of((major << 5) | 24, value);
  return Buffer.of((major << 5) | 25, value >> 8, value & 0xff);
}

function cborInt(value: number): Buffer {
  return value < 0 ? head(1, -1 - value) : head(0, value);
}

function cborBytes(bytes: Uint8Array): Buffer {
  return Buffer.concat([head(2, bytes.length), bytes]);
}

function cborText(text: string): Buffer {
  return Buffer.concat([head(3, text.length), Buffer.from(text)]);
}

function cborMap(pairs: [Buffer, Buffer][]): Buffer {
  return Buffer.concat([head(5, pairs.length), ...pairs.flat()]);
}
