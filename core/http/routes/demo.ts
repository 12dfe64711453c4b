import type { FastifyRequest } from 'fastify';
import {
  DemoMessage,
  DemoMessages,
  DemoMessagesQuery,
  DemoToken,
  PostDemoMessageBody,
  PostDemoTokenBody,
  VerbatimError,
} from '#protocol';
import { DEMO_APP_ID } from '../../auth/index.ts';
import { isOwnOrigin, userOf } from '../caller.ts';
import { DemoMessageLog } from '../demo-messages.ts';
import type { HttpApp, HttpDeps } from '../deps.ts';
import { problems } from '../openapi.ts';

/**
 * Signs in the two people of the demo messenger without a password, and carries what they write. Only there when the
 * configuration says so, and even then only for programs and pages on this very machine.
 */
export function demoRoutes(app: HttpApp, { demo, directory }: HttpDeps): void {
  if (demo === undefined) return;
  const messages = new DemoMessageLog();
  app.addHook('preClose', async () => messages.close());
  const onRequest = async (request: FastifyRequest): Promise<void> => {
    if (!isLocal(request)) throw new VerbatimError('forbidden', 'the demo works on this machine only');
  };
  app.post(
    '/demo/token',
    {
      config: { auth: 'none' },
      schema: { hide: true, body: PostDemoTokenBody, response: { 200: DemoToken, default: problems } },
      onRequest,
    },
    async (request, reply) => {
      reply.header('cache-control', 'no-store');
      return demo.token(request.body.as);
    },
  );
  app.get(
    '/demo/messages',
    {
      config: { auth: 'user' },
      schema: {
        hide: true,
        querystring: DemoMessagesQuery,
        response: { 200: DemoMessages, default: problems },
      },
      onRequest,
    },
    async (request, reply) => {
      const { userId } = demoUserOf(request);
      const gone = new AbortController();
      reply.raw.once('close', () => gone.abort());
      reply.header('cache-control', 'no-store');
      const found = await messages.after(request.query.after, gone.signal);
      const mine: DemoMessages['messages'] = [];
      for (const message of found) if (await isMember(userId, message.chatId)) mine.push(message);
      return { messages: mine };
    },
  );
  app.post(
    '/demo/messages',
    {
      config: { auth: 'user' },
      schema: {
        hide: true,
        body: PostDemoMessageBody,
        response: { 201: DemoMessage, default: problems },
      },
      onRequest,
    },
    async (request, reply) => {
      const { userId } = demoUserOf(request);
      const { chatId, text } = request.body;
      if (!(await isMember(userId, chatId))) throw new VerbatimError('not_found');
      const name = (await directory.findUser(DEMO_APP_ID, userId))?.name ?? userId;
      return reply.code(201).send(messages.add({ chatId, userId, name, text }));
    },
  );

  async function isMember(userId: string, chatId: string): Promise<boolean> {
    return (await directory.findChat(DEMO_APP_ID, chatId))?.members.includes(userId) ?? false;
  }
}

/** @throws VerbatimError `not_found` for users of other apps: for them there is no demo */
function demoUserOf(request: FastifyRequest): { userId: string } {
  const { appId, userId } = userOf(request);
  if (appId !== DEMO_APP_ID) throw new VerbatimError('not_found');
  return { userId };
}

const LOCAL_HOSTS = ['localhost', '127.0.0.1', '[::1]'];
const LOCAL_ADDRESSES = ['127.0.0.1', '::1', '::ffff:127.0.0.1'];

/**
 * Three conditions, each closing a way in: the peer's address (a proxy on this machine would pass it on, so no
 * forwarded header may be there), the Host (a foreign name that resolves to this machine), the Origin (a page of
 * another site in a browser on this machine).
 */
function isLocal(request: FastifyRequest): boolean {
  const { origin, host, forwarded, 'x-forwarded-for': forwardedFor } = request.headers;
  const hostname = URL.parse(`http://${host ?? ''}`)?.hostname ?? '';
  return (
    LOCAL_ADDRESSES.includes(request.raw.socket.remoteAddress ?? '') &&
    forwarded === undefined &&
    forwardedFor === undefined &&
    LOCAL_HOSTS.includes(hostname) &&
    (origin === undefined || isOwnOrigin(request))
  );
}
