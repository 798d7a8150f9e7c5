#!/usr/bin/env node
import { startProgram } from '../core/start-program.ts';

startProgram('novacron-agent', import.meta.url, 'daemon');
