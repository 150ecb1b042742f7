import type { Query, QueryClient, QueryFilters } from "@tanstack/react-query";

/** waiting are the queries that are read again when the read that goes on is over. */
const waiting = new WeakSet<Query>();

/**
 * readAgain reads queries again. What is being read may have been answered before that which calls for it: it is
 * read once more when that is over, and not cancelled, so that a long read ends however often this is called.
 */
export function readAgain(client: QueryClient, which: QueryFilters) {
  for (const q of client.getQueryCache().findAll(which) as Query[]) {
    const again = () => {
      waiting.delete(q);
      void client.invalidateQueries({ queryKey: q.queryKey, exact: true });
    };
    if (q.state.fetchStatus !== "fetching") again();
    else if (!waiting.has(q)) {
      waiting.add(q);
      void Promise.resolve(q.promise).then(again, again);
    }
  }
}
