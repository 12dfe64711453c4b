import t from 'tap';
import { testFaults } from '../test/fault-table.ts';
import { migrateQueue } from './backend.ts';

// The rows of the fault table at the steps of the daemon and of the finaliser.
await testFaults(t, ['daemon', 'finalise'], (databaseUrl) => migrateQueue({ databaseUrl }));
