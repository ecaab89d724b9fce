// Package testnet has what the tests of convert, record and restore share: small
// networks, their conversion, and their outputs.
//
// Start with [Small], which makes a model of nodes, [Embedded], which converts one, and
// [Run] and [CheckSame], which compare what two compute.
package testnet
