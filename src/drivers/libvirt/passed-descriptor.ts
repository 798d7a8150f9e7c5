/** What an operation comes to that opens something: its descriptor in the driver process, handed on to the agent. */
export class PassedDescriptor {
  readonly fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }
}
