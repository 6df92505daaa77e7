declare <16 x float> @llvm.maximum.v16f32(<16 x float>, <16 x float>)
declare void @tj_tail_in(ptr, ptr, ptr, i64, i64, i64) nounwind
declare void @tj_tail_out(ptr, ptr, ptr, i64, i64, i64) nounwind
declare void @tj_tail_keep(ptr, ptr, i64, i64, i64) nounwind
declare float @tj_tree_max_f32x16(ptr) nounwind
declare float @llvm.maximum.f32(float, float)
@relu_rows_f32_1 = private constant <16 x float> splat (float 0x0000000000000000), align 64
@relu_rows_tail = private constant [3 x [4 x i64]] [[4 x i64] [i64 0, i64 4, i64 1, i64 4575657222473777152], [4 x i64] [i64 2, i64 4, i64 2, i64 4575657222473777152], [4 x i64] [i64 6, i64 4, i64 3, i64 4575657222473777152]], align 64
define void @relu_rows(ptr %args, ptr %meta, i64 %begin, i64 %end) nounwind alignstack(64) {
entry:
%state = alloca [10 x i64], align 64
%pads = alloca [3 x [128 x i8]], align 64
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
%at0 = getelementptr i64, ptr %state, i64 0
store ptr %b0_0, ptr %at0
%d1_0 = mul i64 %x0, %s1_0
%b1_0 = getelementptr float, ptr %arg1, i64 %d1_0
%at1 = getelementptr i64, ptr %state, i64 2
store ptr %b1_0, ptr %at1
%b2_0 = getelementptr float, ptr %arg2, i64 %x0
%at2 = getelementptr i64, ptr %state, i64 4
store ptr %b2_0, ptr %at2
%at3 = getelementptr i64, ptr %state, i64 6
store ptr %arg3, ptr %at3
store <16 x float> splat (float 0xFFF0000000000000), ptr %sum1, align 64
%full = and i64 %count, -16
%wide_end = and i64 %count, -64
%has_wide = icmp ne i64 %wide_end, 0
br i1 %has_wide, label %wide, label %narrow
wide:
%i0 = phi i64 [ 0, %unit ], [ %i_wide, %wide ]
%v4ba = getelementptr i64, ptr %state, i64 0
%v4b = load ptr, ptr %v4ba
%v4p = getelementptr float, ptr %v4b, i64 %i0
%v4 = load <16 x float>, ptr %v4p, align 4
%l_f32_1_4 = load <16 x float>, ptr @relu_rows_f32_1, align 64
%v6 = fcmp ogt <16 x float> %v4, %l_f32_1_4
%v7 = select <16 x i1> %v6, <16 x float> %v4, <16 x float> %l_f32_1_4
%i1 = add i64 %i0, 16
%v8ba = getelementptr i64, ptr %state, i64 0
%v8b = load ptr, ptr %v8ba
%v8p = getelementptr float, ptr %v8b, i64 %i1
%v8 = load <16 x float>, ptr %v8p, align 4
%l_f32_1_8 = load <16 x float>, ptr @relu_rows_f32_1, align 64
%v10 = fcmp ogt <16 x float> %v8, %l_f32_1_8
%v11 = select <16 x i1> %v10, <16 x float> %v8, <16 x float> %l_f32_1_8
%i2 = add i64 %i0, 32
%v12ba = getelementptr i64, ptr %state, i64 0
%v12b = load ptr, ptr %v12ba
%v12p = getelementptr float, ptr %v12b, i64 %i2
%v12 = load <16 x float>, ptr %v12p, align 4
%l_f32_1_12 = load <16 x float>, ptr @relu_rows_f32_1, align 64
%v14 = fcmp ogt <16 x float> %v12, %l_f32_1_12
%v15 = select <16 x i1> %v14, <16 x float> %v12, <16 x float> %l_f32_1_12
%i3 = add i64 %i0, 48
%v16ba = getelementptr i64, ptr %state, i64 0
%v16b = load ptr, ptr %v16ba
%v16p = getelementptr float, ptr %v16b, i64 %i3
%v16 = load <16 x float>, ptr %v16p, align 4
%l_f32_1_16 = load <16 x float>, ptr @relu_rows_f32_1, align 64
%v18 = fcmp ogt <16 x float> %v16, %l_f32_1_16
%v19 = select <16 x i1> %v18, <16 x float> %v16, <16 x float> %l_f32_1_16
%o0w0wba = getelementptr i64, ptr %state, i64 2
%o0w0wb = load ptr, ptr %o0w0wba
%o0w0wp = getelementptr float, ptr %o0w0wb, i64 %i0
store <16 x float> %v7, ptr %o0w0wp, align 4
%o0w1wba = getelementptr i64, ptr %state, i64 2
%o0w1wb = load ptr, ptr %o0w1wba
%o0w1wp = getelementptr float, ptr %o0w1wb, i64 %i1
store <16 x float> %v11, ptr %o0w1wp, align 4
%o0w2wba = getelementptr i64, ptr %state, i64 2
%o0w2wb = load ptr, ptr %o0w2wba
%o0w2wp = getelementptr float, ptr %o0w2wb, i64 %i2
store <16 x float> %v15, ptr %o0w2wp, align 4
%o0w3wba = getelementptr i64, ptr %state, i64 2
%o0w3wb = load ptr, ptr %o0w3wba
%o0w3wp = getelementptr float, ptr %o0w3wb, i64 %i3
store <16 x float> %v19, ptr %o0w3wp, align 4
%o1_t4_0 = call <16 x float> @llvm.maximum.v16f32(<16 x float> %v4, <16 x float> %v8)
%o1_t4_1 = call <16 x float> @llvm.maximum.v16f32(<16 x float> %v12, <16 x float> %v16)
%o1_t2_0 = call <16 x float> @llvm.maximum.v16f32(<16 x float> %o1_t4_0, <16 x float> %o1_t4_1)
%before1_3 = load <16 x float>, ptr %sum1, align 64
%after1_3 = call <16 x float> @llvm.maximum.v16f32(<16 x float> %before1_3, <16 x float> %o1_t2_0)
store <16 x float> %after1_3, ptr %sum1, align 64
%o2w0rba = getelementptr i64, ptr %state, i64 6
%o2w0rb = load ptr, ptr %o2w0rba
%o2w0rp = getelementptr float, ptr %o2w0rb, i64 %i0
%o2w0r = load <16 x float>, ptr %o2w0rp, align 4
%o2w0n = fadd <16 x float> %o2w0r, %v7
%o2w0wba = getelementptr i64, ptr %state, i64 6
%o2w0wb = load ptr, ptr %o2w0wba
%o2w0wp = getelementptr float, ptr %o2w0wb, i64 %i0
store <16 x float> %o2w0n, ptr %o2w0wp, align 4
%o2w1rba = getelementptr i64, ptr %state, i64 6
%o2w1rb = load ptr, ptr %o2w1rba
%o2w1rp = getelementptr float, ptr %o2w1rb, i64 %i1
%o2w1r = load <16 x float>, ptr %o2w1rp, align 4
%o2w1n = fadd <16 x float> %o2w1r, %v11
%o2w1wba = getelementptr i64, ptr %state, i64 6
%o2w1wb = load ptr, ptr %o2w1wba
%o2w1wp = getelementptr float, ptr %o2w1wb, i64 %i1
store <16 x float> %o2w1n, ptr %o2w1wp, align 4
%o2w2rba = getelementptr i64, ptr %state, i64 6
%o2w2rb = load ptr, ptr %o2w2rba
%o2w2rp = getelementptr float, ptr %o2w2rb, i64 %i2
%o2w2r = load <16 x float>, ptr %o2w2rp, align 4
%o2w2n = fadd <16 x float> %o2w2r, %v15
%o2w2wba = getelementptr i64, ptr %state, i64 6
%o2w2wb = load ptr, ptr %o2w2wba
%o2w2wp = getelementptr float, ptr %o2w2wb, i64 %i2
store <16 x float> %o2w2n, ptr %o2w2wp, align 4
%o2w3rba = getelementptr i64, ptr %state, i64 6
%o2w3rb = load ptr, ptr %o2w3rba
%o2w3rp = getelementptr float, ptr %o2w3rb, i64 %i3
%o2w3r = load <16 x float>, ptr %o2w3rp, align 4
%o2w3n = fadd <16 x float> %o2w3r, %v19
%o2w3wba = getelementptr i64, ptr %state, i64 6
%o2w3wb = load ptr, ptr %o2w3wba
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
%v0ba = getelementptr i64, ptr %state, i64 0
%v0b = load ptr, ptr %v0ba
%v0p = getelementptr float, ptr %v0b, i64 %i
%v0 = load <16 x float>, ptr %v0p, align 4
%l_f32_1_0 = load <16 x float>, ptr @relu_rows_f32_1, align 64
%v2 = fcmp ogt <16 x float> %v0, %l_f32_1_0
%v3 = select <16 x i1> %v2, <16 x float> %v0, <16 x float> %l_f32_1_0
%o0wba = getelementptr i64, ptr %state, i64 2
%o0wb = load ptr, ptr %o0wba
%o0wp = getelementptr float, ptr %o0wb, i64 %i
store <16 x float> %v3, ptr %o0wp, align 4
%before1_0 = load <16 x float>, ptr %sum1, align 64
%after1_0 = call <16 x float> @llvm.maximum.v16f32(<16 x float> %before1_0, <16 x float> %v0)
store <16 x float> %after1_0, ptr %sum1, align 64
%o2rba = getelementptr i64, ptr %state, i64 6
%o2rb = load ptr, ptr %o2rba
%o2rp = getelementptr float, ptr %o2rb, i64 %i
%o2r = load <16 x float>, ptr %o2rp, align 4
%o2n = fadd <16 x float> %o2r, %v3
%o2wba = getelementptr i64, ptr %state, i64 6
%o2wb = load ptr, ptr %o2wba
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
call void @tj_tail_in(ptr %state, ptr %pads, ptr @relu_rows_tail, i64 3, i64 %full, i64 %left)
%keep1 = load <16 x float>, ptr %sum1, align 64
store <16 x float> %keep1, ptr %old1, align 64
br label %loop
whole:
%is_padded = icmp slt i64 %left, 0
br i1 %is_padded, label %unpad, label %unit_end
unpad:
%r = sub i64 %count, %full
call void @tj_tail_out(ptr %state, ptr %pads, ptr @relu_rows_tail, i64 3, i64 %full, i64 %r)
call void @tj_tail_keep(ptr %sum1, ptr %old1, i64 4, i64 %r, i64 16)
br label %unit_end
unit_end:
%all1 = call float @tj_tree_max_f32x16(ptr %sum1)
%kept1 = load float, ptr %b2_0
%joined1 = call float @llvm.maximum.f32(float %kept1, float %all1)
store float %joined1, ptr %b2_0
%u_next = add i64 %u, 1
br label %units
exit:
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
