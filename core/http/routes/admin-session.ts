import { Type } from 'typebox';
import {
  Account,
  AdminSession,
  AssertionBody,
  ChangePasswordBody,
  CodeBody,
  EnrolPasskeyBody,
  OpenedLink,
  OpenLinkBody,
  PasskeyChallenge,
  SignInBody,
  TotpSetup,
  UseLinkBody,
  Uuid,
} from '#protocol';
import { endedAdminCookie } from '../../admins/index.ts';
import { answerSignedIn, assertPasskeysWork, seatOf, visitorOf } from '../admin-caller.ts';
import type { HttpApp, HttpDeps } from '../deps.ts';

const params = Type.Object({ id: Uuid });
/** The console's own interface is not part of what messengers integrate with. */
const hide = true;
const open = { auth: 'none' } as const;
const half = { auth: 'admin-half' } as const;
const fresh = { auth: 'admin', right: 'see', fresh: true } as const;

/** Signing in to the console, proving oneself again, and one's own account (F43). */
export function adminSessionRoutes(app: HttpApp, { admins, settings }: HttpDeps): void {
  const visitor = (request: Parameters<typeof visitorOf>[0]) => visitorOf(request, settings.publicUrl);

  app.post(
    '/admin/api/links/open',
    { config: open, schema: { hide, body: OpenLinkBody, response: { 200: OpenedLink } } },
    async (request) => admins.openLink(request.body.token),
  );
  app.post(
    '/admin/api/links/use',
    { config: open, schema: { hide, body: UseLinkBody, response: { 200: AdminSession } } },
    async (request, reply) => answerSignedIn(reply, await admins.useLink(request.body, visitor(request))),
  );
  app.post(
    '/admin/api/session',
    { config: open, schema: { hide, body: SignInBody, response: { 200: AdminSession } } },
    async (request, reply) => answerSignedIn(reply, await admins.signIn(request.body, visitor(request))),
  );
  app.get(
    '/admin/api/session',
    { config: half, schema: { hide, response: { 200: AdminSession } } },
    async (request) => admins.describe(seatOf(request)),
  );
  app.delete('/admin/api/session', { config: half, schema: { hide } }, async (request, reply) => {
    await admins.signOut(seatOf(request));
    return reply.header('set-cookie', endedAdminCookie()).code(204).send();
  });

  app.post(
    '/admin/api/session/passkey/options',
    { config: half, schema: { hide, response: { 200: PasskeyChallenge } } },
    async (request) => {
      const from = visitor(request);
      assertPasskeysWork(from);
      return admins.proofOptions(seatOf(request), from);
    },
  );
  app.post(
    '/admin/api/session/passkey',
    { config: half, schema: { hide, body: AssertionBody, response: { 200: AdminSession } } },
    async (request, reply) =>
      answerSignedIn(reply, await admins.proveByPasskey(seatOf(request), request.body, visitor(request))),
  );
  app.post(
    '/admin/api/session/code',
    { config: half, schema: { hide, body: CodeBody, response: { 200: AdminSession } } },
    async (request, reply) =>
      answerSignedIn(reply, await admins.proveByCode(seatOf(request), request.body.code, visitor(request))),
  );

  app.get(
    '/admin/api/account',
    { config: { auth: 'admin', right: 'see' }, schema: { hide, response: { 200: Account } } },
    async (request) => admins.account(seatOf(request)),
  );
  app.post(
    '/admin/api/account/passkeys/options',
    { config: half, schema: { hide, response: { 200: PasskeyChallenge } } },
    async (request) => {
      const from = visitor(request);
      assertPasskeysWork(from);
      return admins.enrolPasskeyOptions(seatOf(request), from);
    },
  );
  app.post(
    '/admin/api/account/passkeys',
    { config: half, schema: { hide, body: EnrolPasskeyBody, response: { 200: AdminSession } } },
    async (request, reply) =>
      answerSignedIn(reply, await admins.enrolPasskey(seatOf(request), request.body, visitor(request))),
  );
  app.delete(
    '/admin/api/account/passkeys/:id',
    { config: fresh, schema: { hide, params } },
    async (request, reply) => {
      await admins.removePasskey(seatOf(request), request.params.id);
      return reply.code(204).send();
    },
  );
  app.post(
    '/admin/api/account/totp',
    { config: half, schema: { hide, response: { 200: TotpSetup } } },
    async (request) => admins.beginTotp(seatOf(request)),
  );
  app.post(
    '/admin/api/account/totp/confirm',
    { config: half, schema: { hide, body: CodeBody, response: { 200: AdminSession } } },
    async (request, reply) =>
      answerSignedIn(reply, await admins.confirmTotp(seatOf(request), request.body.code, visitor(request))),
  );
  app.delete('/admin/api/account/totp', { config: fresh, schema: { hide } }, async (request, reply) => {
    await admins.removeTotp(seatOf(request));
    return reply.code(204).send();
  });
  app.put(
    '/admin/api/account/password',
    { config: fresh, schema: { hide, body: ChangePasswordBody } },
    async (request, reply) => {
      await admins.changePassword(seatOf(request), request.body.password);
      return reply.code(204).send();
    },
  );
  app.delete(
    '/admin/api/account/sessions',
    { config: { auth: 'admin', right: 'see' }, schema: { hide } },
    async (request, reply) => {
      await admins.endSessions(seatOf(request));
      return reply.code(204).send();
    },
  );
  app.delete(
    '/admin/api/account/sessions/:id',
    { config: { auth: 'admin', right: 'see' }, schema: { hide, params } },
    async (request, reply) => {
      await admins.endSessions(seatOf(request), request.params.id);
      return reply.code(204).send();
    },
  );
}
