import { timesMs } from '../measure/spread.ts';

/* Reads an agent's metrics so often, as Prometheus does, and prints how long each took. */

const [url = '', rounds = ''] = process.argv.slice(2);

async function scrape(): Promise<void> {
  const page = await (await fetch(url)).text();
  if (!page.includes('novacron_')) throw new Error(page);
}

await scrape();
console.log(JSON.stringify(await timesMs(Number(rounds), scrape)));
