import type { AdminSession, PasskeyChallenge } from '#protocol';
import { ask, Refused } from '../backend.ts';
import { session } from './session.ts';

/** Whether this page may use passkeys: a secure context on a host name, in a browser that has them. */
export function passkeysWork(): boolean {
  const isAddress = /^(\d+\.){3}\d+$|^\[/.test(location.hostname);
  return isSecureContext && !isAddress && 'PublicKeyCredential' in globalThis;
}

/** Makes a passkey for this account. @throws Refused */
export async function enrolPasskey(name: string): Promise<void> {
  const { challengeId, options } = await ask<PasskeyChallenge>('POST', 'account/passkeys/options');
  const credential = await asking(() =>
    navigator.credentials.create({
      publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(
        options as PublicKeyCredentialCreationOptionsJSON,
      ),
    }),
  );
  const { response, ...made } = credential.toJSON() as RegistrationResponseJSON;
  const { clientDataJSON, attestationObject } = response;
  session.value = await ask<AdminSession>('POST', 'account/passkeys', {
    challengeId,
    name,
    answer: { ...credentialOf(made), response: { clientDataJSON, attestationObject } },
  });
}

/** Signs in, or proves anew. @throws Refused */
export async function provePasskey(): Promise<void> {
  const { challengeId, options } = await ask<PasskeyChallenge>('POST', 'session/passkey/options');
  const credential = await asking(() =>
    navigator.credentials.get({
      publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(
        options as PublicKeyCredentialRequestOptionsJSON,
      ),
    }),
  );
  const { response, ...used } = credential.toJSON() as AuthenticationResponseJSON;
  const { clientDataJSON, authenticatorData, signature, userHandle } = response;
  session.value = await ask<AdminSession>('POST', 'session/passkey', {
    challengeId,
    answer: {
      ...credentialOf(used),
      response: { clientDataJSON, authenticatorData, signature, ...(userHandle ? { userHandle } : {}) },
    },
  });
}

/** What both kinds of answer say of the credential, as far as the server takes it. */
function credentialOf({
  id,
  rawId,
  type,
  authenticatorAttachment,
}: Omit<RegistrationResponseJSON, 'response'>): object {
  return {
    id,
    rawId,
    type,
    clientExtensionResults: {},
    ...(authenticatorAttachment ? { authenticatorAttachment } : {}),
  };
}

/** What the browser's own dialog comes to. */
async function asking(open: () => Promise<Credential | null>): Promise<PublicKeyCredential> {
  const credential = await open().catch((error: unknown) => {
    const name = error instanceof DOMException ? error.name : '';
    throw new Refused({
      code: 'passkey',
      title:
        name === 'InvalidStateError'
          ? 'This passkey is set up here already'
          : 'The passkey was not used: it was cancelled, or it took too long',
      detail: 'try again',
    });
  });
  if (!(credential instanceof PublicKeyCredential))
    throw new Refused({ code: 'passkey', title: 'There was no passkey', detail: 'try again' });
  return credential;
}
