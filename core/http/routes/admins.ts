import { Type } from 'typebox';
import { AdminLink, AdminList, PatchAdminBody, PostInviteBody, Uuid } from '#protocol';
import { seatOf } from '../admin-caller.ts';
import type { HttpApp, HttpDeps } from '../deps.ts';

const params = Type.Object({ id: Uuid });
const hide = true;
const own = { auth: 'admin', right: 'own', fresh: true } as const;

/** Who else may sign in to the console: for owners, with a fresh proof for every change. */
export function adminRoutes(app: HttpApp, { admins }: HttpDeps): void {
  app.get(
    '/admin/api/admins',
    { config: { auth: 'admin', right: 'see' }, schema: { hide, response: { 200: AdminList } } },
    async () => ({ admins: await admins.list() }),
  );
  app.post(
    '/admin/api/admins/invites',
    { config: own, schema: { hide, body: PostInviteBody, response: { 200: AdminLink } } },
    async (request) => admins.invite(seatOf(request), request.body.role),
  );
  app.patch(
    '/admin/api/admins/:id',
    { config: own, schema: { hide, params, body: PatchAdminBody } },
    async (request, reply) => {
      await admins.change(seatOf(request), request.params.id, request.body);
      return reply.code(204).send();
    },
  );
  app.post(
    '/admin/api/admins/:id/recovery',
    { config: own, schema: { hide, params, response: { 200: AdminLink } } },
    async (request) => admins.recoveryLink(seatOf(request), request.params.id),
  );
}
