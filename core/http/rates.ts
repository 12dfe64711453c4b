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

/**
 * Counts failed sign-ins by address. It is asked after the failure and never before, because one address can stand
 * for many people: whoever signs in is served, however often others fail there.
 */
export function limitFailedSignIns(app: HttpApp): FailedSignIns {
  const limiter = app.createRateLimit({
    max: HTTP_LIMITS.failedSignIns,
    timeWindow: HTTP_LIMITS.windowMs,
    keyGenerator: (request) => `failed:${request.ip}`,
  });
  return {
    async count(request) {
      const state = await limiter(request);
      if (!state.isAllowed && state.isExceeded) {
        throw new VerbatimError('rate_limited', 'too many failed sign-ins from this address');
      }
    },
  };
}
