import rateLimit from '@fastify/rate-limit';
import { VerbatimError } from '#protocol';
import type { FailedSignIns } from './caller.ts';
import { callerKey } from './caller.ts';
import type { HttpApp } from './deps.ts';
import { HTTP_LIMITS } from './limits.ts';

/** Counts requests for each app key, user or address; the window is fixed, in memory, of this process. */
export async function limitRates(app: HttpApp, requestsPerMinute: number): Promise<void> {
  await app.register(rateLimit, {
    global: true,
    // After the sign-in (an instance hook), so that the count is the caller's and not the address's.
    hook: 'onRequest',
    cache: HTTP_LIMITS.trackedCallers,
    timeWindow: HTTP_LIMITS.windowMs,
    max: (request) =>
      request.caller?.kind === 'app' ? requestsPerMinute * HTTP_LIMITS.appFactor : requestsPerMinute,
    keyGenerator: callerKey,
    errorResponseBuilder: (_request, context) =>
      new VerbatimError('rate_limited', `too many requests: try again in ${context.after}`),
  });
}

/** Refuses addresses that keep failing to sign in, before any signature is computed for them. */
export function limitFailedSignIns(app: HttpApp): FailedSignIns {
  const limiter = app.createRateLimit({
    max: HTTP_LIMITS.failedSignIns,
    timeWindow: HTTP_LIMITS.windowMs,
    keyGenerator: (request) => `failed:${request.ip}`,
  });
  return {
    async check(request) {
      const state = await limiter(request, { increment: false });
      if (!state.isAllowed && state.remaining === 0) {
        throw new VerbatimError('rate_limited', 'too many failed sign-ins from this address');
      }
    },
    async count(request) {
      await limiter(request);
    },
  };
}
