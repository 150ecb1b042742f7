import type { DefaultOptions } from "@tanstack/react-query";
import { ApiError } from "../lib/error";

/** defaultOptions are those of all queries and mutations. */
export const defaultOptions: DefaultOptions = {
  queries: {
    // What browsers take for being offline says nothing about a server on this machine or network.
    networkMode: "always",
    staleTime: 5_000,
    refetchOnWindowFocus: true,
    retry: (failures, e) => failures < 2 && !(e instanceof ApiError && e.status >= 400 && e.status < 500),
  },
  // What is asked for is done now or fails. It never waits for the network and is done when nobody wants it any more.
  mutations: { networkMode: "always" },
};
