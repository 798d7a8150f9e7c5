import { writeFileSync } from 'node:fs';
import { inProject } from '../core/project.ts';
import { assembleBootPayload, renderBootPayload } from './boot-payload.ts';

const payload = await assembleBootPayload(AbortSignal.timeout(60_000));
writeFileSync(inProject('src/drivers/boot-probe/boot-payload.ts'), renderBootPayload(payload));
