import systeminformation from 'systeminformation';

/** The name of the host's distribution, such as `Debian GNU/Linux 12 (bookworm)`. Runs commands. */
export async function describeDistribution(): Promise<string> {
  const { distro, release, codename } = await systeminformation.osInfo();
  return [distro, release, codename && `(${codename})`].filter(Boolean).join(' ');
}
