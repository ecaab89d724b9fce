"""Make models that are right and wrong in one way each, and what onnx.checker says of them.

make_checked.py > cmd/efcn/testdata/checked.json

One JSON object: of each case its model, base64, and whether onnx.checker.check_model(full_check=True)
takes it. Needs numpy and onnx (made with 1.23.2).
"""

import base64
import json

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

V=lambda n,s,t=T.FLOAT:h.make_tensor_value_info(n,t,s)
N=h.make_node
def w(n,*s,t=np.float32): return nh.from_array(np.ones(s,t),n)
cases={}
def case(name,nodes,ins=None,outs=None,inits=(),opset=17,ir=8,vi=(),opsets=None,functions=(),mod=None):
    ins=ins if ins is not None else [V('x',['N',2,8,8])]
    outs=outs if outs is not None else [V('y',None)]
    g=h.make_graph(nodes,'g',ins,outs,list(inits),value_info=list(vi))
    m=h.make_model(g,opset_imports=opsets or [h.make_opsetid('',opset)],ir_version=ir,functions=list(functions))
    if mod: mod(m)
    cases[name]=m
W=[w('w',3,2,3,3)]
conv=lambda **a:[N('Conv',['x','w'],['y'],**a)]
O=lambda *s:[V('y',list(s))]
U=[V('y',['a','b','c','d'])]
case('good conv',conv(),outs=O('N',3,6,6),inits=W)
case('bad output shape',conv(),outs=O('N',3,7,7),inits=W)
case('bad output rank',conv(),outs=O('N',3,6),inits=W)
case('bad value_info shape',[N('Conv',['x','w'],['c']),N('Relu',['c'],['y'])],outs=O('N',3,6,6),inits=W,vi=[V('c',['N',3,9,9])])
case('bad value_info rank',[N('Conv',['x','w'],['c']),N('Relu',['c'],['y'])],outs=O('N',3,6,6),inits=W,vi=[V('c',['N',3])])
case('bad output type',conv(),outs=[V('y',['N',3,6,6],T.DOUBLE)],inits=W)
case('output no shape',conv(),outs=[V('y',None)],inits=W)
for k,v in dict(dilations=[1],strides=[2],pads=[1,1],kernel_shape=[3]).items(): case(f'{k} wrong length',conv(**{k:v}),outs=U,inits=W)
for k,v in dict(dilations=[1,1,1],strides=[1,1,1],pads=[1,1,1,1,1,1],kernel_shape=[3,3,3]).items(): case(f'{k} too long',conv(**{k:v}),outs=U,inits=W)
case('negative pads',conv(pads=[-1,0,0,0]),outs=U,inits=W)
case('zero strides',conv(strides=[0,1]),outs=U,inits=W)
case('zero dilations',conv(dilations=[0,1]),outs=U,inits=W)
case('kernel_shape differs',conv(kernel_shape=[2,2]),outs=U,inits=W)
case('group 0',conv(group=0),outs=U,inits=W)
case('group 2 wrong channels',conv(group=2),outs=U,inits=W)
case('channels differ',conv(),outs=U,inits=[w('w',3,4,3,3)])
case('conv rank',conv(),outs=U,inits=[w('w',3,2,3)])
case('conv rank x',conv(),ins=[V('x',['N',2])],outs=U,inits=W)
case('conv double kernel',conv(),outs=U,inits=[w('w',3,2,3,3,t=np.float64)])
case('kernel larger',conv(),outs=U,inits=[w('w',3,2,9,9)])
case('bias wrong',[N('Conv',['x','w','b'],['y'])],outs=U,inits=W+[w('b',4)])
case('auto_pad bad',conv(auto_pad='SAME'),outs=U,inits=W)
case('auto_pad and pads',conv(auto_pad='SAME_UPPER',pads=[1,1,1,1]),outs=U,inits=W)
case('unknown attr',conv(foo=1),outs=U,inits=W)
case('attr type',conv(group=1.5),outs=U,inits=W)
bn=[w('s',2),w('b',2),w('m',2),w('v',2)]
BN=lambda outs,**a:[N('BatchNormalization',['x','s','b','m','v'],outs,**a)]
case('bn',BN(['y']),outs=O('N',2,8,8),inits=bn)
case('bn training one output',BN(['y'],training_mode=1),outs=O('N',2,8,8),inits=bn)
case('bn training three',BN(['y','rm','rv'],training_mode=1),outs=O('N',2,8,8),inits=bn)
case('bn inference three',BN(['y','rm','rv']),outs=O('N',2,8,8),inits=bn)
case('bn scale length',BN(['y']),outs=O('N',2,8,8),inits=[w('s',3)]+bn[1:])
case('bn scale rank',BN(['y']),outs=O('N',2,8,8),inits=[w('s',2,1)]+bn[1:])
case('same opset twice',conv(),outs=U,inits=W,opsets=[h.make_opsetid('',17),h.make_opsetid('',17)])
case('opset twice two versions',conv(),outs=U,inits=W,opsets=[h.make_opsetid('',17),h.make_opsetid('',13)])
case('ai.onnx beside',conv(),outs=U,inits=W,opsets=[h.make_opsetid('',17),h.make_opsetid('ai.onnx',17)])
case('ai.onnx alone',conv(),outs=U,inits=W,opsets=[h.make_opsetid('ai.onnx',17)])
case('ml twice',conv(),outs=U,inits=W,opsets=[h.make_opsetid('',17),h.make_opsetid('ai.onnx.ml',2),h.make_opsetid('ai.onnx.ml',2)])
case('ml twice versions',conv(),outs=U,inits=W,opsets=[h.make_opsetid('',17),h.make_opsetid('ai.onnx.ml',2),h.make_opsetid('ai.onnx.ml',3)])
case('unknown domain imported',conv(),outs=U,inits=W,opsets=[h.make_opsetid('',17),h.make_opsetid('com.x',1)])
case('no opset',conv(),outs=U,inits=W,mod=lambda m:m.ClearField('opset_import'))
case('opset 0',conv(),outs=U,inits=W,opset=0)
case('opset 99',conv(),outs=U,inits=W,opset=99)
case('ir 99',conv(),outs=U,inits=W,ir=99)
case('ir 3 no input for init',conv(),outs=U,inits=W,ir=3)
case('ir 0',conv(),outs=U,inits=W,mod=lambda m:m.ClearField('ir_version'))
case('custom op',[N('Foo',['x'],['y'],domain='com.x')],outs=U,opsets=[h.make_opsetid('',17),h.make_opsetid('com.x',1)])
case('custom not imported',[N('Foo',['x'],['y'],domain='com.x')],outs=U)
case('unknown op',[N('Foo',['x'],['y'])],outs=U)
case('too new op',[N('Gelu',['x'],['y'])],outs=U)
case('deprecated op',[N('Upsample',['x','s'],['y'])],outs=U,inits=[w('s',4)],opset=17)
case('duplicate output',[N('Relu',['x'],['y']),N('Abs',['x'],['y'])],outs=U)
case('duplicate node names',[N('Relu',['x'],['r'],name='n'),N('Abs',['r'],['y'],name='n')],outs=U)
case('unsorted',[N('Abs',['r'],['y']),N('Relu',['x'],['r'])],outs=U)
case('missing input',[N('Abs',['r'],['y'])],outs=U)
case('missing output',[N('Abs',['x'],['r'])],outs=U)
case('duplicate init',conv(),outs=U,inits=W+W)
case('duplicate value_info',[N('Conv',['x','w'],['c']),N('Relu',['c'],['y'])],outs=U,inits=W,vi=[V('c',['N',3,6,6]),V('c',['N',3,6,6])])
case('duplicate graph input',[N('Relu',['x'],['y'])],ins=[V('x',['N']),V('x',['N'])],outs=O('N'))
case('duplicate graph output',[N('Relu',['x'],['y'])],ins=[V('x',['N'])],outs=O('N')+O('N'))
case('init shadows node output',[N('Relu',['x'],['y'])],outs=U,inits=[w('y',2)])
case('relu int',[N('Relu',['x'],['y'])],ins=[V('x',[2],T.INT32)],outs=[V('y',[2],T.INT32)],opset=13)
case('add types',[N('Add',['x','z'],['y'])],ins=[V('x',[2]),V('z',[2],T.DOUBLE)],outs=O(2))
case('add shapes',[N('Add',['x','z'],['y'])],ins=[V('x',[2]),V('z',[3])],outs=O(2))
case('bool add',[N('Add',['x','z'],['y'])],ins=[V('x',[2],T.BOOL),V('z',[2],T.BOOL)],outs=[V('y',[2],T.BOOL)])
case('string relu',[N('Relu',['x'],['y'])],ins=[V('x',[2],T.STRING)],outs=[V('y',[2],T.STRING)])
case('conv int',[N('Conv',['x','w'],['y'])],ins=[V('x',['N',2,8,8],T.INT32)],outs=[V('y',None,T.INT32)],inits=[w('w',3,2,3,3,t=np.int32)])
case('matmul dims',[N('MatMul',['x','w'],['y'])],ins=[V('x',['N',4])],outs=O('N',3),inits=[w('w',5,3)])
case('matmul good',[N('MatMul',['x','w'],['y'])],ins=[V('x',['N',4])],outs=O('N',3),inits=[w('w',4,3)])
case('gemm dims',[N('Gemm',['x','w'],['y'])],ins=[V('x',['N',4])],outs=O('N',3),inits=[w('w',5,3)])
case('gemm rank',[N('Gemm',['x','w'],['y'])],ins=[V('x',['N',4,1])],outs=O('N',3),inits=[w('w',4,3)])
case('concat axis',[N('Concat',['x','x'],['y'],axis=7)],outs=U)
case('concat no axis',[N('Concat',['x','x'],['y'])],outs=U)
case('concat dims',[N('Concat',['x','z'],['y'],axis=1)],ins=[V('x',[1,2,3]),V('z',[1,2,4])],outs=[V('y',None)])
case('reshape',[N('Reshape',['x','s'],['y'])],ins=[V('x',[2,3])],outs=O(6),inits=[nh.from_array(np.array([6]),'s')])
case('reshape count',[N('Reshape',['x','s'],['y'])],ins=[V('x',[2,3])],outs=O(7),inits=[nh.from_array(np.array([7]),'s')])
case('reshape declared wrong',[N('Reshape',['x','s'],['y'])],ins=[V('x',[2,3])],outs=O(7),inits=[nh.from_array(np.array([6]),'s')])
case('reshape two -1',[N('Reshape',['x','s'],['y'])],ins=[V('x',[2,3])],outs=[V('y',None)],inits=[nh.from_array(np.array([-1,-1]),'s')])
case('transpose perm',[N('Transpose',['x'],['y'],perm=[0,1,2])],outs=[V('y',None)])
case('transpose twice',[N('Transpose',['x'],['y'],perm=[0,1,1,2])],outs=[V('y',None)])
case('flatten axis',[N('Flatten',['x'],['y'],axis=9)],outs=[V('y',None)])
case('softmax axis',[N('Softmax',['x'],['y'],axis=9)],outs=[V('y',None)])
case('pool no kernel',[N('MaxPool',['x'],['y'])],outs=U)
case('pool dilations len',[N('MaxPool',['x'],['y'],kernel_shape=[2,2],dilations=[1])],outs=U)
case('pool pads len',[N('AveragePool',['x'],['y'],kernel_shape=[2,2],pads=[1,1])],outs=U)
case('pool negative pads',[N('AveragePool',['x'],['y'],kernel_shape=[2,2],pads=[-1,0,0,0])],outs=U)
case('pool kernel larger',[N('MaxPool',['x'],['y'],kernel_shape=[9,9])],outs=U)
case('pool kernel len',[N('MaxPool',['x'],['y'],kernel_shape=[2])],outs=U)
case('split sizes',[N('Split',['x','s'],['y','z'],axis=1)],ins=[V('x',[1,4])],outs=[V('y',None),V('z',None)],inits=[nh.from_array(np.array([1,2]),'s')])
case('squeeze not 1',[N('Squeeze',['x','s'],['y'])],ins=[V('x',[1,4])],outs=[V('y',None)],inits=[nh.from_array(np.array([1]),'s')])
case('cast type bad',[N('Cast',['x'],['y'],to=99)],outs=[V('y',None)])
case('arity',[N('Relu',['x','x'],['y'])],outs=U)
case('arity outputs',[N('Relu',['x'],['y','z'])],outs=U)
case('missing required input',[N('Add',['x',''],['y'])],outs=U)
sp=lambda dims,vals=2: h.make_sparse_tensor(h.make_tensor('w',T.FLOAT,[vals],[1.]*vals),h.make_tensor('i',T.INT64,[vals],list(range(vals))),dims)
case('sparse conv rank',conv(),outs=U,mod=lambda m:m.graph.sparse_initializer.append(sp([6,9])))
case('sparse conv good',conv(),outs=U,mod=lambda m:m.graph.sparse_initializer.append(sp([3,2,3,3])))
case('sparse matmul',[N('MatMul',['x','w'],['y'])],ins=[V('x',['N',4])],outs=O('N',3),mod=lambda m:m.graph.sparse_initializer.append(sp([4,3])))
case('sparse matmul wrong',[N('MatMul',['x','w'],['y'])],ins=[V('x',['N',4])],outs=O('N',3),mod=lambda m:m.graph.sparse_initializer.append(sp([5,3])))
sub=lambda op,out='r':h.make_graph([N(op,['x'],[out])],'b',[],[V(out,None)])
B=[V('x',['N',2]),V('c',[],T.BOOL)]
case('if good',[N('If',['c'],['y'],then_branch=sub('Relu'),else_branch=sub('Abs'))],ins=B,outs=O('N',2))
case('if missing else',[N('If',['c'],['y'],then_branch=sub('Relu'))],ins=B,outs=O('N',2))
case('if outputs',[N('If',['c'],['y','z'],then_branch=sub('Relu'),else_branch=sub('Abs'))],ins=B,outs=O('N',2))
case('if declared wrong',[N('If',['c'],['y'],then_branch=sub('Relu'),else_branch=sub('Abs'))],ins=B,outs=O('N',3))
case('if bad branch',[N('If',['c'],['y'],then_branch=sub('Foo'),else_branch=sub('Abs'))],ins=B,outs=O('N',2))
case('init size',conv(),outs=U,mod=lambda m:m.graph.initializer.append(T(name='w',data_type=1,dims=[3,2,3,3],raw_data=b'\0'*8)))
case('init no type',conv(),outs=U,mod=lambda m:m.graph.initializer.append(T(name='w',dims=[1],raw_data=b'\0'*4)))
case('input no type',conv(),inits=W,outs=U,mod=lambda m:m.graph.input[0].ClearField('type'))
case('graph no name',conv(),inits=W,outs=U,mod=lambda m:setattr(m.graph,'name',''))
case('unused input',conv(),ins=[V('x',['N',2,8,8]),V('z',[1])],outs=U,inits=W)
case('negative dim',conv(),ins=[V('x',['N',2,-3,8])],outs=U,inits=W)
case('zero dim',[N('Relu',['x'],['y'])],ins=[V('x',[0,2])],outs=O(0,2))
fn=h.make_function('loc','Twice',['a'],['b'],[N('Add',['a','a'],['b'])],[h.make_opsetid('',17)])
LO=[h.make_opsetid('',17),h.make_opsetid('loc',1)]
case('function good',[N('Twice',['x'],['y'],domain='loc')],outs=U,functions=[fn],opsets=LO,ir=8)
case('function no import',[N('Twice',['x'],['y'],domain='loc')],outs=U,functions=[fn],ir=8)
case('function bad body',[N('Twice',['x'],['y'],domain='loc')],outs=U,functions=[h.make_function('loc','Twice',['a'],['b'],[N('Add',['a','q'],['b'])],[h.make_opsetid('',17)])],opsets=LO)
case('function declared wrong',[N('Twice',['x'],['y'],domain='loc')],ins=[V('x',[2])],outs=O(3),functions=[fn],opsets=LO,ir=8)
case('ceil bad out',[N('MaxPool',['x'],['y'],kernel_shape=[3,3],strides=[2,2],ceil_mode=1)],outs=O('N',2,3,3))
case('ceil good out',[N('MaxPool',['x'],['y'],kernel_shape=[3,3],strides=[2,2],ceil_mode=1)],outs=O('N',2,4,4))
case('upsample below 1',[N('Upsample',['x','s'],['y'])],outs=U,opset=9,inits=[nh.from_array(np.array([1,1,.5,.5],'f'),'s')])
case('expand bad',[N('Expand',['x','s'],['y'])],ins=[V('x',[2])],outs=[V('y',None)],inits=[nh.from_array(np.array([3]),'s')])
case('gather axis',[N('Gather',['x','i'],['y'],axis=9)],outs=[V('y',None)],inits=[nh.from_array(np.array([0]),'i')])
case('pad length',[N('Pad',['x','p'],['y'])],outs=[V('y',None)],inits=[nh.from_array(np.array([0,1]),'p')])
case('two dims same name ok',[N('Add',['x','z'],['y'])],ins=[V('x',['N',2]),V('z',['N',2])],outs=O('N',2))
case('node domain ai.onnx',[N('Relu',['x'],['y'],domain='ai.onnx')],outs=U)
case('node domain ai.onnx imported both',[N('Relu',['x'],['y'],domain='ai.onnx')],outs=U,opsets=[h.make_opsetid('',17),h.make_opsetid('ai.onnx',13)])
case('node empty, import ai.onnx',[N('Relu',['x'],['y'])],outs=U,opsets=[h.make_opsetid('ai.onnx',17)])

def valid(m):
    try:
        onnx.checker.check_model(m, full_check=True)
    except Exception:
        return False
    return True


print(json.dumps({name: {"model": base64.b64encode(m.SerializeToString()).decode(), "valid": valid(m)} for name, m in cases.items()}, indent=0))
