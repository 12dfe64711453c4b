import t from 'tap';
import { testFaults } from '../test/fault-table.ts';

// The rows of the fault table at the steps of the daemon.
testFaults(t, 'daemon');
