// Command plot draws an SVG from a CSV file with the columns x, series, y. Series are drawn in the
// order in which they appear.
//
//	plot -in waiting.csv -out waiting.svg -title "Waiting" -x "hour" -y "workloads"
//	plot -in cycle.csv -out cycle.svg -logx -logy -marks -x "waiting" -y "cycle (ms)"
//	plot -in p95.csv -out p95.svg -bars -logy -y "wait (s)"
package main
