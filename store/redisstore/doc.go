// Package redisstore keeps the records of package store in Redis.
package redisstore
