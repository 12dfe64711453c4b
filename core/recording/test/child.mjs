// A worker process for the tests of children.ts: says who it is, and dies or stays as it is told by its environment. As
// a standby it says so when it takes over.
const started = () => process.send({ type: 'started', recorderId: `child-${process.pid}` });
if (process.argv.at(-1) === 'standby') process.on('message', ({ type }) => type === 'take-over' && started());
else started();
if (process.env.CHILD === 'dies') process.exit(3);
if (process.env.CHILD === 'deaf') process.on('SIGTERM', () => undefined);
process.on('disconnect', () => process.exit(0));
setInterval(() => undefined, 1000);
