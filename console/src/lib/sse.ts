/** ServerEvent is one event of a stream of server-sent events. */
export interface ServerEvent {
  id: string;
  data: string;
}

/** eventReader returns a function that takes pieces of a stream and calls on with each whole event. */
export function eventReader(on: (event: ServerEvent) => void): (piece: string) => void {
  let rest = "";
  let id = "";
  let data: string[] = [];
  return (piece) => {
    rest += piece;
    for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
      const line = rest.slice(0, end).replace(/\r$/, "");
      rest = rest.slice(end + 1);
      if (line === "") {
        if (data.length) on({ id, data: data.join("\n") });
        data = [];
      } else if (line.startsWith("id:")) id = line.slice(3).trimStart();
      else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
    }
  };
}
