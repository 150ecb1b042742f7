package workloads

// mayExecute reports true: programs are not offered.
func mayExecute(string) bool { return true }
