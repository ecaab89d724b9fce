// Package restore turns an eFCN back into another form of itself.
//
// Start with [Project], which returns the CNN that is nearest to an eFCN. [ToDense]
// returns the eFCN with its local and sparse layers in dense form, which training all
// of their weights needs.
package restore
