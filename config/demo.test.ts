import t from 'tap';
import { demoAllowed } from './demo.ts';
import { loadConfig } from './load.ts';

t.test('the demo is there only where it is turned on and the server listens on loopback', (t) => {
  const table: [host: string, enabled: string, allowed: boolean][] = [
    ['localhost', 'true', true],
    ['127.0.0.1', 'true', true],
    ['127.1.2.3', 'true', true],
    ['::1', 'true', true],
    ['0.0.0.0', 'true', false],
    ['::', 'true', false],
    ['192.0.2.7', 'true', false],
    ['127.0.0.1.example.org', 'true', false],
    ['localhost', 'false', false],
  ];
  for (const [host, enabled, allowed] of table) {
    const config = loadConfig({
      env: { VERBATIM_LISTEN_HOST: host, VERBATIM_DEMO_ENABLED: enabled },
      cwd: import.meta.dirname,
    });
    const warned: object[] = [];
    t.equal(
      demoAllowed(config, { warn: (fields: object) => void warned.push(fields) }),
      allowed,
      `${host} ${enabled}`,
    );
    t.equal(warned.length, enabled === 'true' && !allowed ? 1 : 0, 'the operator is told when it is ignored');
  }
  t.end();
});
