import { CurlFetcher } from '../../../src/drivers/fetch/curl-fetcher.ts';
import { QUICK } from './fetch-fixture.ts';

// An agent in small: fetches, and says how far it is.
const [, , url = '', path = '', digest] = process.argv;
const request = { url, path, maxBytes: 2 ** 30, digest };
const say = ({ bytes }: { readonly bytes: number }): void => {
  process.stdout.write(`${bytes}\n`);
};
const fetcher = new CurlFetcher({ ...QUICK, stallTimeoutMs: 60_000 });
await fetcher.fetch(request, say, AbortSignal.timeout(60_000));
