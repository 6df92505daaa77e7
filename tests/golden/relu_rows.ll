declare <16 x float> @llvm.maximum.v16f32(<16 x float>, <16 x float>)
declare <8 x float> @llvm.maximum.v8f32(<8 x float>, <8 x float>)
declare <4 x float> @llvm.maximum.v4f32(<4 x float>, <4 x float>)
declare <2 x float> @llvm.maximum.v2f32(<2 x float>, <2 x float>)
declare float @llvm.maximum.f32(float, float)
define void @relu_rows(ptr %args, ptr %meta, i64 %begin, i64 %end) nounwind alignstack(64) {
entry:
%at0 = alloca ptr
%at1 = alloca ptr
%at2 = alloca ptr
%at3 = alloca ptr
%buffer0 = alloca <16 x float>, align 64
%buffer1 = alloca <16 x float>, align 64
%buffer3 = alloca <16 x float>, align 64
%sum1 = alloca <16 x float>, align 64
%old1 = alloca <16 x float>, align 64
%n0m = getelementptr i64, ptr %meta, i64 0
%n0 = load i64, ptr %n0m
%n1m = getelementptr i64, ptr %meta, i64 1
%n1 = load i64, ptr %n1m
%arg0m = getelementptr ptr, ptr %args, i64 0
%arg0 = load ptr, ptr %arg0m
%s0_0m = getelementptr i64, ptr %meta, i64 2
%s0_0 = load i64, ptr %s0_0m
%arg1m = getelementptr ptr, ptr %args, i64 1
%arg1 = load ptr, ptr %arg1m
%s1_0m = getelementptr i64, ptr %meta, i64 4
%s1_0 = load i64, ptr %s1_0m
%arg2m = getelementptr ptr, ptr %args, i64 2
%arg2 = load ptr, ptr %arg2m
%arg3m = getelementptr ptr, ptr %args, i64 3
%arg3 = load ptr, ptr %arg3m
br label %units
units:
%u = phi i64 [ %begin, %entry ], [ %u_next, %unit_end ]
%u_more = icmp slt i64 %u, %end
br i1 %u_more, label %unit, label %exit
unit:
%x0 = add i64 %u, 0
%count = add i64 %n1, 0
%d0_0 = mul i64 %x0, %s0_0
%b0_0 = getelementptr float, ptr %arg0, i64 %d0_0
%base0 = getelementptr float, ptr %b0_0, i64 0
store ptr %base0, ptr %at0
%d1_0 = mul i64 %x0, %s1_0
%b1_0 = getelementptr float, ptr %arg1, i64 %d1_0
%base1 = getelementptr float, ptr %b1_0, i64 0
store ptr %base1, ptr %at1
%b2_0 = getelementptr float, ptr %arg2, i64 %x0
%base2 = getelementptr float, ptr %b2_0, i64 0
store ptr %base2, ptr %at2
%base3 = getelementptr float, ptr %arg3, i64 0
store ptr %base3, ptr %at3
store <16 x float> splat (float 0xFFF0000000000000), ptr %sum1, align 64
%full = and i64 %count, -16
%wide_end = and i64 %count, -64
%has_wide = icmp ne i64 %wide_end, 0
br i1 %has_wide, label %wide, label %narrow
wide:
%i0 = phi i64 [ 0, %unit ], [ %i_wide, %wide ]
%v4b = load ptr, ptr %at0
%v4p = getelementptr float, ptr %v4b, i64 %i0
%v4 = load <16 x float>, ptr %v4p, align 4
%v6 = fcmp ogt <16 x float> %v4, splat (float 0x0000000000000000)
%v7 = select <16 x i1> %v6, <16 x float> %v4, <16 x float> splat (float 0x0000000000000000)
%i1 = add i64 %i0, 16
%v8b = load ptr, ptr %at0
%v8p = getelementptr float, ptr %v8b, i64 %i1
%v8 = load <16 x float>, ptr %v8p, align 4
%v10 = fcmp ogt <16 x float> %v8, splat (float 0x0000000000000000)
%v11 = select <16 x i1> %v10, <16 x float> %v8, <16 x float> splat (float 0x0000000000000000)
%i2 = add i64 %i0, 32
%v12b = load ptr, ptr %at0
%v12p = getelementptr float, ptr %v12b, i64 %i2
%v12 = load <16 x float>, ptr %v12p, align 4
%v14 = fcmp ogt <16 x float> %v12, splat (float 0x0000000000000000)
%v15 = select <16 x i1> %v14, <16 x float> %v12, <16 x float> splat (float 0x0000000000000000)
%i3 = add i64 %i0, 48
%v16b = load ptr, ptr %at0
%v16p = getelementptr float, ptr %v16b, i64 %i3
%v16 = load <16 x float>, ptr %v16p, align 4
%v18 = fcmp ogt <16 x float> %v16, splat (float 0x0000000000000000)
%v19 = select <16 x i1> %v18, <16 x float> %v16, <16 x float> splat (float 0x0000000000000000)
%o0w0wb = load ptr, ptr %at1
%o0w0wp = getelementptr float, ptr %o0w0wb, i64 %i0
store <16 x float> %v7, ptr %o0w0wp, align 4
%o0w1wb = load ptr, ptr %at1
%o0w1wp = getelementptr float, ptr %o0w1wb, i64 %i1
store <16 x float> %v11, ptr %o0w1wp, align 4
%o0w2wb = load ptr, ptr %at1
%o0w2wp = getelementptr float, ptr %o0w2wb, i64 %i2
store <16 x float> %v15, ptr %o0w2wp, align 4
%o0w3wb = load ptr, ptr %at1
%o0w3wp = getelementptr float, ptr %o0w3wb, i64 %i3
store <16 x float> %v19, ptr %o0w3wp, align 4
%o1_t4_0 = call <16 x float> @llvm.maximum.v16f32(<16 x float> %v4, <16 x float> %v8)
%o1_t4_1 = call <16 x float> @llvm.maximum.v16f32(<16 x float> %v12, <16 x float> %v16)
%o1_t2_0 = call <16 x float> @llvm.maximum.v16f32(<16 x float> %o1_t4_0, <16 x float> %o1_t4_1)
%before1_3 = load <16 x float>, ptr %sum1, align 64
%after1_3 = call <16 x float> @llvm.maximum.v16f32(<16 x float> %before1_3, <16 x float> %o1_t2_0)
store <16 x float> %after1_3, ptr %sum1, align 64
%o2w0rb = load ptr, ptr %at3
%o2w0rp = getelementptr float, ptr %o2w0rb, i64 %i0
%o2w0r = load <16 x float>, ptr %o2w0rp, align 4
%o2w0n = fadd <16 x float> %o2w0r, %v7
%o2w0wb = load ptr, ptr %at3
%o2w0wp = getelementptr float, ptr %o2w0wb, i64 %i0
store <16 x float> %o2w0n, ptr %o2w0wp, align 4
%o2w1rb = load ptr, ptr %at3
%o2w1rp = getelementptr float, ptr %o2w1rb, i64 %i1
%o2w1r = load <16 x float>, ptr %o2w1rp, align 4
%o2w1n = fadd <16 x float> %o2w1r, %v11
%o2w1wb = load ptr, ptr %at3
%o2w1wp = getelementptr float, ptr %o2w1wb, i64 %i1
store <16 x float> %o2w1n, ptr %o2w1wp, align 4
%o2w2rb = load ptr, ptr %at3
%o2w2rp = getelementptr float, ptr %o2w2rb, i64 %i2
%o2w2r = load <16 x float>, ptr %o2w2rp, align 4
%o2w2n = fadd <16 x float> %o2w2r, %v15
%o2w2wb = load ptr, ptr %at3
%o2w2wp = getelementptr float, ptr %o2w2wb, i64 %i2
store <16 x float> %o2w2n, ptr %o2w2wp, align 4
%o2w3rb = load ptr, ptr %at3
%o2w3rp = getelementptr float, ptr %o2w3rb, i64 %i3
%o2w3r = load <16 x float>, ptr %o2w3rp, align 4
%o2w3n = fadd <16 x float> %o2w3r, %v19
%o2w3wb = load ptr, ptr %at3
%o2w3wp = getelementptr float, ptr %o2w3wb, i64 %i3
store <16 x float> %o2w3n, ptr %o2w3wp, align 4
%i_wide = add i64 %i0, 64
%is_wide = icmp slt i64 %i_wide, %wide_end
br i1 %is_wide, label %wide, label %narrow
narrow:
%has_narrow = icmp slt i64 %wide_end, %full
br i1 %has_narrow, label %loop, label %rest
loop:
%i = phi i64 [ %wide_end, %narrow ], [ %j, %loop ], [ %full, %tail ]
%v0b = load ptr, ptr %at0
%v0p = getelementptr float, ptr %v0b, i64 %i
%v0 = load <16 x float>, ptr %v0p, align 4
%v2 = fcmp ogt <16 x float> %v0, splat (float 0x0000000000000000)
%v3 = select <16 x i1> %v2, <16 x float> %v0, <16 x float> splat (float 0x0000000000000000)
%o0wb = load ptr, ptr %at1
%o0wp = getelementptr float, ptr %o0wb, i64 %i
store <16 x float> %v3, ptr %o0wp, align 4
%before1_0 = load <16 x float>, ptr %sum1, align 64
%after1_0 = call <16 x float> @llvm.maximum.v16f32(<16 x float> %before1_0, <16 x float> %v0)
store <16 x float> %after1_0, ptr %sum1, align 64
%o2rb = load ptr, ptr %at3
%o2rp = getelementptr float, ptr %o2rb, i64 %i
%o2r = load <16 x float>, ptr %o2rp, align 4
%o2n = fadd <16 x float> %o2r, %v3
%o2wb = load ptr, ptr %at3
%o2wp = getelementptr float, ptr %o2wb, i64 %i
store <16 x float> %o2n, ptr %o2wp, align 4
%j = add i64 %i, 16
%more = icmp slt i64 %j, %full
br i1 %more, label %loop, label %rest
rest:
%done = phi i64 [ %wide_end, %narrow ], [ %j, %loop ]
%left = sub i64 %count, %done
%is_partly = icmp sgt i64 %left, 0
br i1 %is_partly, label %tail, label %whole
tail:
%back = sub i64 0, %full
store <16 x float> splat (float 0x3FF0000000000000), ptr %buffer0, align 64
%tp0 = getelementptr float, ptr %base0, i64 %full
call void @relu_rows_copy4(ptr %buffer0, i64 1, ptr %tp0, i64 1, i64 %left)
%tb0 = getelementptr float, ptr %buffer0, i64 %back
store ptr %tb0, ptr %at0
%tb1 = getelementptr float, ptr %buffer1, i64 %back
store ptr %tb1, ptr %at1
store <16 x float> splat (float 0x3FF0000000000000), ptr %buffer3, align 64
%tp3 = getelementptr float, ptr %base3, i64 %full
call void @relu_rows_copy4(ptr %buffer3, i64 1, ptr %tp3, i64 1, i64 %left)
%tb3 = getelementptr float, ptr %buffer3, i64 %back
store ptr %tb3, ptr %at3
%keep1 = load <16 x float>, ptr %sum1, align 64
store <16 x float> %keep1, ptr %old1, align 64
br label %loop
whole:
%is_padded = icmp slt i64 %left, 0
br i1 %is_padded, label %unpad, label %unit_end
unpad:
%r = sub i64 %count, %full
%rp1 = getelementptr float, ptr %base1, i64 %full
call void @relu_rows_copy4(ptr %rp1, i64 1, ptr %buffer1, i64 1, i64 %r)
%rp3 = getelementptr float, ptr %base3, i64 %full
call void @relu_rows_copy4(ptr %rp3, i64 1, ptr %buffer3, i64 1, i64 %r)
%r32 = trunc i64 %r to i32
%rsf = insertelement <16 x i32> poison, i32 %r32, i32 0
%rs = shufflevector <16 x i32> %rsf, <16 x i32> poison, <16 x i32> zeroinitializer
%is_real = icmp slt <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>, %rs
%pad1 = load <16 x float>, ptr %sum1, align 64
%was1 = load <16 x float>, ptr %old1, align 64
%real1 = select <16 x i1> %is_real, <16 x float> %pad1, <16 x float> %was1
store <16 x float> %real1, ptr %sum1, align 64
br label %unit_end
unit_end:
%lanes1 = load <16 x float>, ptr %sum1, align 64
%lanes1_lo8 = shufflevector <16 x float> %lanes1, <16 x float> poison, <8 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7>
%lanes1_hi8 = shufflevector <16 x float> %lanes1, <16 x float> poison, <8 x i32> <i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>
%lanes1_8 = call <8 x float> @llvm.maximum.v8f32(<8 x float> %lanes1_lo8, <8 x float> %lanes1_hi8)
%lanes1_lo4 = shufflevector <8 x float> %lanes1_8, <8 x float> poison, <4 x i32> <i32 0, i32 1, i32 2, i32 3>
%lanes1_hi4 = shufflevector <8 x float> %lanes1_8, <8 x float> poison, <4 x i32> <i32 4, i32 5, i32 6, i32 7>
%lanes1_4 = call <4 x float> @llvm.maximum.v4f32(<4 x float> %lanes1_lo4, <4 x float> %lanes1_hi4)
%lanes1_lo2 = shufflevector <4 x float> %lanes1_4, <4 x float> poison, <2 x i32> <i32 0, i32 1>
%lanes1_hi2 = shufflevector <4 x float> %lanes1_4, <4 x float> poison, <2 x i32> <i32 2, i32 3>
%lanes1_2 = call <2 x float> @llvm.maximum.v2f32(<2 x float> %lanes1_lo2, <2 x float> %lanes1_hi2)
%lanes1_e0 = extractelement <2 x float> %lanes1_2, i32 0
%lanes1_e1 = extractelement <2 x float> %lanes1_2, i32 1
%lanes1_all = call float @llvm.maximum.f32(float %lanes1_e0, float %lanes1_e1)
%kept1 = load float, ptr %base2
%joined1 = call float @llvm.maximum.f32(float %kept1, float %lanes1_all)
store float %joined1, ptr %base2
%u_next = add i64 %u, 1
br label %units
exit:
ret void
}
define internal void @relu_rows_copy4(ptr %to, i64 %by, ptr %from, i64 %step, i64 %n) nounwind {
entry:
br label %one
one:
%e = phi i64 [ 0, %entry ], [ %next, %one ]
%f = mul i64 %e, %step
%g = getelementptr i32, ptr %from, i64 %f
%x = load i32, ptr %g
%t = mul i64 %e, %by
%h = getelementptr i32, ptr %to, i64 %t
store i32 %x, ptr %h
%next = add i64 %e, 1
%more = icmp slt i64 %next, %n
br i1 %more, label %one, label %done
done:
ret void
}
define void @relu_rows_start(ptr %args, ptr %meta) nounwind {
entry:
%n0m = getelementptr i64, ptr %meta, i64 0
%n0 = load i64, ptr %n0m
%n1m = getelementptr i64, ptr %meta, i64 1
%n1 = load i64, ptr %n1m
%arg2m = getelementptr ptr, ptr %args, i64 2
%arg2 = load ptr, ptr %arg2m
%arg3m = getelementptr ptr, ptr %args, i64 3
%arg3 = load ptr, ptr %arg3m
%size1_0 = mul i64 1, %n0
br label %fill1
fill1:
%e1 = phi i64 [ 0, %entry ], [ %e1n, %set1 ]
%e1m = icmp slt i64 %e1, %size1_0
br i1 %e1m, label %set1, label %filled1
set1:
%y1_0 = urem i64 %e1, %n0
%y1_0q = udiv i64 %e1, %n0
%y1_0o = mul i64 %y1_0, 1
%y1_0p = getelementptr float, ptr %arg2, i64 %y1_0o
store float 0xFFF0000000000000, ptr %y1_0p
%e1n = add i64 %e1, 1
br label %fill1
filled1:
%size2_1 = mul i64 1, %n1
br label %fill2
fill2:
%e2 = phi i64 [ 0, %filled1 ], [ %e2n, %set2 ]
%e2m = icmp slt i64 %e2, %size2_1
br i1 %e2m, label %set2, label %filled2
set2:
%y2_1 = urem i64 %e2, %n1
%y2_1q = udiv i64 %e2, %n1
%y2_1o = mul i64 %y2_1, 1
%y2_1p = getelementptr float, ptr %arg3, i64 %y2_1o
store float 0x0000000000000000, ptr %y2_1p
%e2n = add i64 %e2, 1
br label %fill2
filled2:
ret void
}
