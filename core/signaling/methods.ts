import type { Disclosure, Method, Params, Result } from '#protocol';
import type { CallService, Participant } from '../call/index.ts';

/** What signaling asks of the calls. */
export type Calls = Pick<
  CallService,
  | 'start'
  | 'accept'
  | 'decline'
  | 'cancel'
  | 'hangup'
  | 'mute'
  | 'openMedia'
  | 'connectMedia'
  | 'produce'
  | 'restartIce'
  | 'peerServers'
  | 'describePeer'
  | 'passCandidates'
  | 'reportPath'
  | 'signedIn'
  | 'deviceLeft'
  | 'routerRtpCapabilities'
>;

/** What the methods below ask of the rest of the server; `app.ts` gives it. */
export interface MethodDeps {
  calls: Calls;
  devices: { online(appId: string, userId: string): boolean };
  disclosure(appId: string, locale: string): Promise<Disclosure>;
}

/** These three change the connection itself, so the connection answers them. */
export type SessionMethod = 'session.start' | 'session.end' | 'session.ping';
export type TableMethod = Exclude<Method, SessionMethod>;

type Handler<M extends TableMethod> = (
  deps: MethodDeps,
  who: Participant,
  params: Params<M>,
) => Result<M> | Promise<Result<M>>;

/** Method -> handler. Parameters are validated before; what a participant may do is decided in `core/call`. */
export const HANDLERS: { readonly [M in TableMethod]: Handler<M> } = {
  'presence.get': ({ devices }, who, { userIds }) => ({
    online: [...new Set(userIds)].filter((userId) => devices.online(who.appId, userId)),
  }),
  'disclosure.get': ({ disclosure }, who, { locale }) => disclosure(who.appId, locale),
  'call.start': ({ calls }, who, params) => calls.start(who, params),
  'call.accept': ({ calls }, who, params) => calls.accept(who, params),
  'call.decline': async ({ calls }, who, params) => {
    await calls.decline(who, params);
    return {};
  },
  'call.cancel': async ({ calls }, who, params) => {
    await calls.cancel(who, params);
    return {};
  },
  'call.hangup': async ({ calls }, who, params) => {
    await calls.hangup(who, params);
    return {};
  },
  'call.mute': async ({ calls }, who, params) => {
    await calls.mute(who, params);
    return {};
  },
  'media.open': ({ calls }, who, params) => calls.openMedia(who, params),
  'media.connect': async ({ calls }, who, params) => {
    await calls.connectMedia(who, params);
    return {};
  },
  'media.produce': ({ calls }, who, params) => calls.produce(who, params),
  'media.restartIce': ({ calls }, who, params) => calls.restartIce(who, params),
  'peer.servers': ({ calls }, who, params) => calls.peerServers(who, params),
  'peer.description': ({ calls }, who, params) => {
    calls.describePeer(who, params);
    return {};
  },
  'peer.candidates': ({ calls }, who, params) => calls.passCandidates(who, params),
  'peer.connected': async ({ calls }, who, params) => {
    await calls.reportPath(who, params, 'connected');
    return {};
  },
  'peer.broken': async ({ calls }, who, params) => {
    await calls.reportPath(who, params, 'broken');
    return {};
  },
  'peer.failed': async ({ calls }, who, params) => {
    await calls.reportPath(who, params, 'failed');
    return {};
  },
};

export function isTableMethod(method: Method): method is TableMethod {
  return Object.hasOwn(HANDLERS, method);
}

/** Runs one validated request. */
export async function callMethod<M extends TableMethod>(
  method: M,
  deps: MethodDeps,
  who: Participant,
  params: Params<M>,
): Promise<Result<M>> {
  return HANDLERS[method](deps, who, params);
}
