/** ApiError is an answer that says what went wrong. Its status is 0 if there was none. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly requestID = "",
  ) {
    super(message);
  }
}
