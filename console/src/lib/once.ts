/** newKey makes a key under which a request is done once, however often it is sent. */
export const newKey = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("-");

/**
 * Once keeps the key of each request until its answer has come. A request that is sent again, because its
 * answer was lost, has the key that it had: it is done once. One that says something else has a key of its own.
 */
export class Once {
  private readonly keys = new Map<string, string>();

  keyFor(request: string): string {
    const key = this.keys.get(request) ?? newKey();
    this.keys.set(request, key);
    return key;
  }

  /** answered forgets the key: who asks for the same again wants another one. */
  answered(request: string) {
    this.keys.delete(request);
  }
}
