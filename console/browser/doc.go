// Package browser tests the web console in Chromium, against real coordinators and workers. The
// journeys are written for Node's test runner; the tests of this package start the processes and run
// them. The flag -whole adds PostgreSQL, every page at each width and colour scheme, and long lists.
// A missing browser, or missing packages of the console, fail the tests.
package browser
