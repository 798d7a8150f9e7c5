import { transfersContract } from '../../contract/transfers-contract.ts';
import { missing, openStreamerNodes } from './streamer-nodes.ts';

transfersContract('StreamerTransfers', openStreamerNodes, { skip: missing });
