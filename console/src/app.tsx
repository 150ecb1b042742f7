import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { createBrowserRouter, Link, Outlet, useRouteError } from "react-router";
import { ApiError, currentSession, onSessionEnd, signIn, signOut, takeCode } from "./api/client";
import { live } from "./api/live";
import type { Session } from "./api/types";
import { Audit } from "./screens/audit";
import { Customer } from "./screens/customer";
import { Customers } from "./screens/customers";
import { Overview } from "./screens/overview";
import { Queues } from "./screens/queues";
import { Settings } from "./screens/settings";
import { SignIn } from "./screens/signin";
import { WorkerPage } from "./screens/worker";
import { Workers } from "./screens/workers";
import { Workload } from "./screens/workload";
import { Workloads } from "./screens/workloads";
import { SessionContext } from "./session";
import { Failure } from "./ui/parts";
import { Shell } from "./ui/shell";

/** codeAtStart is the code of the link that led here. It is taken before the router reads the address. */
const codeAtStart = takeCode();

/** Root asks who is signed in. Signing in again leads back to the page that was open. */
function Root() {
  const [session, setSession] = useState<Session | null>();
  const [error, setError] = useState<unknown>();
  const [note, setNote] = useState("");
  const client = useQueryClient();
  // A channel doesn't hear what it says itself; another one of the same tab would.
  const tabs = useRef<BroadcastChannel>(undefined);
  const forget = (why: string) => {
    live.follow("");
    client.clear();
    setNote(why);
    setSession(null);
  };
  useEffect(() => {
    onSessionEnd(() => forget("The session has ended: its key was revoked, or it expired. Sign in again to go on."));
    // A link signs in only where nobody is: it must not lead somebody into a session of another.
    const begin = async (code: string) => {
      const present = await currentSession();
      if (present || !code) return present;
      return signIn(code).catch((e: unknown) => {
        if (!(e instanceof ApiError && e.status === 401)) throw e;
        setNote("The link has been used, or is older than a minute. Make another one with niyanta ui, or paste a key.");
        return null;
      });
    };
    begin(codeAtStart).then(setSession, setError);
    // A link that is opened in this tab changes only the fragment, and loads no page.
    const onCode = () => {
      const code = takeCode();
      if (code) begin(code).then(setSession, setError);
    };
    window.addEventListener("hashchange", onCode);
    // Signing out in one tab signs out in all.
    const channel = (tabs.current = new BroadcastChannel("niyanta-session"));
    channel.onmessage = () => forget("You signed out in another tab.");
    return () => {
      window.removeEventListener("hashchange", onCode);
      channel.close();
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, []);
  if (error) return <main className="alone"><Failure error={error} retry={() => location.reload()} /></main>;
  if (session === undefined) return <div className="blank" aria-busy="true" />;
  if (session === null) {
    return <SignIn note={note} onSession={(s) => { setNote(""); setSession(s); }} />;
  }
  const leave = async () => {
    await signOut();
    tabs.current?.postMessage("out");
    forget("");
  };
  return (
    <SessionContext.Provider value={{ session, leave }}>
      <Shell><Outlet /></Shell>
    </SessionContext.Provider>
  );
}

function Missing() {
  return <Failure error={new ApiError(404, "NOT_FOUND", "")} />;
}

function Broken() {
  const error = useRouteError();
  return (
    <main className="alone">
      <Failure error={error} retry={() => location.reload()} />
      <p><Link to="/">Overview</Link></p>
    </main>
  );
}

export const router = createBrowserRouter([
  {
    path: "/",
    element: <Root />,
    errorElement: <Broken />,
    children: [
      { index: true, element: <Overview /> },
      { path: "workloads", element: <Workloads /> },
      { path: "workloads/:id", element: <Workload /> },
      { path: "queues", element: <Queues /> },
      { path: "workers", element: <Workers /> },
      { path: "workers/:id", element: <WorkerPage /> },
      { path: "customers", element: <Customers /> },
      { path: "customers/:id", element: <Customer /> },
      { path: "audit", element: <Audit /> },
      { path: "settings", element: <Settings /> },
      { path: "*", element: <Missing /> },
    ],
  },
]);
