import helmet from '@fastify/helmet';
import type { HttpApp } from './deps.ts';

/**
 * Security headers of every answer. The policy allows what the demo messenger needs and nothing inline: its own
 * scripts and styles, the WebSocket of its own host (`'self'` covers it, CSP 3 §6.7.2.8), audio from `/media`.
 */
export async function setSecurityHeaders(app: HttpApp): Promise<void> {
  await app.register(helmet, {
    global: true,
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        'default-src': ["'none'"],
        'script-src': ["'self'"],
        'style-src': ["'self'"],
        'img-src': ["'self'", 'data:', 'https:'],
        'font-src': ["'self'"],
        'connect-src': ["'self'"],
        'media-src': ["'self'", 'blob:'],
        'worker-src': ["'self'"],
        'base-uri': ["'none'"],
        'form-action': ["'self'"],
        'frame-ancestors': ["'none'"],
        'object-src': ["'none'"],
      },
    },
    // An operator's other hosts are not ours to bind.
    strictTransportSecurity: { maxAge: 31_536_000, includeSubDomains: false },
    frameguard: { action: 'deny' },
    referrerPolicy: { policy: 'no-referrer' },
    crossOriginEmbedderPolicy: false,
  });
}
