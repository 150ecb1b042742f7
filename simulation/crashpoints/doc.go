// Package crashpoints does one harm at every boundary of a fixed course through everything that may
// happen to a workload, on PostgreSQL. A boundary is wherever something that a process does becomes
// visible outside: each request to the database, each message on the bus, each call of a worker to
// a coordinator. They are found where they pass, on the connection, so that none is forgotten when
// code is added. At each: the request is lost; it is executed but its answer is lost; the process
// ends before it; it is executed and the process ends before it knows. Then everything goes on
// without harm, and what is stored must tell a legal story in which nothing that was acknowledged
// is missing. It holds tests only.
package crashpoints
