import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { ErrorCode } from '#protocol';
import { ERRORS, problemOf, VerbatimError } from '#protocol';
import type { HttpApp } from './deps.ts';
import { InvalidInput, validationErrorOf } from './validation.ts';

/** Every error leaves as `application/problem+json` (RFC 9457) from the one table of codes. */
export function answerErrors(app: HttpApp): void {
  app.setErrorHandler(answerError);
  app.setNotFoundHandler({ preHandler: app.rateLimit() }, (request) => {
    throw new VerbatimError('not_found', `there is no ${pathOf(request)}`);
  });
}

export function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const known = asVerbatimError(error);
  const { status } = ERRORS[known.code];
  if (status >= 500) request.log.error({ err: error }, 'a request failed');
  else request.log.debug({ code: known.code, why: reasonOf(known) }, 'a request was refused');
  // RFC 9110 §11.6.1: a 401 names the scheme that is wanted.
  if (status === 401) reply.header('www-authenticate', 'Bearer realm="verbatim"');
  void reply
    .code(status)
    .type('application/problem+json')
    .send(JSON.stringify(problemOf(known)));
}

/** What Node's parser refuses never becomes a request, so it is answered on the bare socket. */
export function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW';
  const problem = problemOf(
    tooLarge
      ? new VerbatimError('too_large', 'the header of the request is too large')
      : new VerbatimError('bad_request', 'this is not an HTTP/1.1 request'),
  );
  const body = JSON.stringify(problem);
  const lines = [
    `HTTP/1.1 ${problem.status} ${tooLarge ? 'Content Too Large' : 'Bad Request'}`,
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`);
}

/** The path without its query, which may hold a signature. */
export function pathOf(request: FastifyRequest): string {
  return (request.url.split('?', 1)[0] ?? '').slice(0, 512);
}

/** The framework's own errors in our words. */
const FRAMEWORK_ERRORS: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ['too_large', 'the body is longer than this route takes'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ['unsupported_media_type', 'expected content-type: application/json'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['bad_request', 'content-length does not fit the body'],
  FST_ERR_CTP_EMPTY_JSON_BODY: ['parse_error', 'expected a JSON body, got none'],
  FST_ERR_CTP_INVALID_JSON_BODY: ['parse_error', 'the body is not valid JSON'],
  FST_ERR_BAD_URL: ['bad_request', 'the path is not a valid URL path'],
  FST_ERR_MAX_PARAM_LENGTH: ['not_found', 'the path is too long'],
};

/**
 * The database is away, restarts or has no connection left (codes of the driver, of sockets and of PostgreSQL):
 * that passes, so the caller may try again.
 */
const PASSING_CODES: readonly string[] = [
  'CONNECTION_CLOSED',
  'CONNECTION_DESTROYED',
  'CONNECTION_ENDED',
  'CONNECT_TIMEOUT',
  'ECONNREFUSED',
  'ECONNRESET',
  '53300',
  '57P01',
  '57P02',
  '57P03',
];

function asVerbatimError(error: unknown): VerbatimError {
  if (error instanceof VerbatimError) return error;
  if (error instanceof InvalidInput) return validationErrorOf(error);
  if (!isFastifyError(error)) return new VerbatimError('internal', undefined, { cause: error });
  const known = FRAMEWORK_ERRORS[error.code];
  if (known !== undefined) return new VerbatimError(...known, { cause: error });
  if (PASSING_CODES.includes(error.code))
    return new VerbatimError('unavailable', undefined, { cause: error });
  const status = error.statusCode ?? 500;
  // The sender of files says 403 for paths that lead outside: to the caller there is nothing.
  if (status === 404 || status === 403) return new VerbatimError('not_found', undefined, { cause: error });
  if (status >= 400 && status < 500) return new VerbatimError('bad_request', undefined, { cause: error });
  return new VerbatimError('internal', undefined, { cause: error });
}

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && ('code' in error || 'statusCode' in error);
}

function reasonOf(error: VerbatimError): string {
  return error.cause instanceof Error ? error.cause.message : error.message;
}
