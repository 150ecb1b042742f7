package http

import "github.com/niyanta/niyanta/core/domain"

func id(s string, prefix string) string {
	if folded, ok := domain.ParseID(prefix, s); ok {
		return folded
	}
	return s
}

func workloadID(s string) domain.WorkloadID { return domain.WorkloadID(id(s, domain.PrefixWorkload)) }

func customerID(s string) domain.CustomerID { return domain.CustomerID(id(s, domain.PrefixCustomer)) }

func configID(s string) domain.ConfigID { return domain.ConfigID(id(s, domain.PrefixConfig)) }

func keyID(s string) domain.KeyID { return domain.KeyID(id(s, domain.PrefixKey)) }
