import t from 'tap';
import { Registry } from './registry.ts';

t.test('F52 figures are shown in the Prometheus text format, line by line', async (t) => {
  const registry = new Registry();
  const calls = registry.counter('calls_total', 'Calls,\nby \\ mode.', ['mode']);
  calls.inc(['voice']);
  calls.inc(['say "hi"\\\n'], 2);
  registry.gauge('heat', 'Now.').set([], 0.5);
  const took = registry.histogram('took_seconds', 'How long.', [0.1, 1], ['way']);
  for (const value of [0.1, 0.5, 7]) took.observe(value, ['in']);
  const lines = (await registry.text()).split('\n');
  t.strictSame(lines.slice(2), [
    '# HELP calls_total Calls,\\nby \\\\ mode.',
    '# TYPE calls_total counter',
    'calls_total{mode="voice"} 1',
    'calls_total{mode="say \\"hi\\"\\\\\\n"} 2',
    '# HELP heat Now.',
    '# TYPE heat gauge',
    'heat 0.5',
    '# HELP took_seconds How long.',
    '# TYPE took_seconds histogram',
    'took_seconds_bucket{way="in",le="0.1"} 1',
    'took_seconds_bucket{way="in",le="1"} 2',
    'took_seconds_bucket{way="in",le="+Inf"} 3',
    'took_seconds_sum{way="in"} 7.6',
    'took_seconds_count{way="in"} 3',
    '',
  ]);
});

t.test('F52 a room that fails or never answers is named, and the others are shown', async (t) => {
  const registry = new Registry();
  const heat = registry.gauge('heat', 'Now.');
  registry.onScrape('deaf', () => new Promise(() => {}));
  registry.onScrape('broken', async () => Promise.reject(new Error('away')));
  registry.onScrape('fine', () => heat.set([], 3));
  const text = await registry.text();
  t.match(text, 'verbatim_metrics_unanswered{room="deaf"} 1');
  t.match(text, 'verbatim_metrics_unanswered{room="broken"} 1');
  t.match(text, 'verbatim_metrics_unanswered{room="fine"} 0');
  t.match(text, '\nheat 3\n');
});

t.test('F52 a label that takes ever new values does not fill the memory', async (t) => {
  const registry = new Registry();
  const many = registry.counter('many_total', 'Many.', ['what']);
  for (let at = 0; at < 2_000; at += 1) many.inc([String(at)]);
  t.equal((await registry.text()).match(/many_total\{/g)?.length, 500);
});

t.test('F52 two figures of one name, and labels that do not fit, are refused', async (t) => {
  const registry = new Registry();
  const once = registry.counter('once_total', 'Once.', ['mode']);
  t.throws(() => registry.gauge('once_total', 'Twice.'), /there already/);
  t.throws(() => registry.gauge('Not-a-name', 'No.'), /no name/);
  t.throws(() => once.inc([]), /a value for each of mode/);
});
