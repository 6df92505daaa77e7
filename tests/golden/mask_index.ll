declare void @tj_tail_in(ptr, ptr, ptr, i64, i64, i64) nounwind
declare void @tj_tail_out(ptr, ptr, ptr, i64, i64, i64) nounwind
@mask_index_tail = private constant [3 x [4 x i64]] [[4 x i64] [i64 0, i64 8, i64 5, i64 1], [4 x i64] [i64 2, i64 1, i64 2, i64 72340172838076673], [4 x i64] [i64 4, i64 8, i64 6, i64 1]], align 64
define void @mask_index(ptr %args, ptr %meta, i64 %begin, i64 %end) nounwind alignstack(64) {
entry:
%state = alloca [7 x i64], align 64
%pads = alloca [3 x [128 x i8]], align 64
%n0m = getelementptr i64, ptr %meta, i64 0
%n0 = load i64, ptr %n0m
%arg0m = getelementptr ptr, ptr %args, i64 0
%arg0 = load ptr, ptr %arg0m
%s0_0m = getelementptr i64, ptr %meta, i64 1
%s0_0 = load i64, ptr %s0_0m
%arg1m = getelementptr ptr, ptr %args, i64 1
%arg1 = load ptr, ptr %arg1m
%arg2m = getelementptr ptr, ptr %args, i64 2
%arg2 = load ptr, ptr %arg2m
%s2_0m = getelementptr i64, ptr %meta, i64 3
%s2_0 = load i64, ptr %s2_0m
br label %units
units:
%u = phi i64 [ %begin, %entry ], [ %u_next, %unit_end ]
%u_more = icmp slt i64 %u, %end
br i1 %u_more, label %unit, label %exit
unit:
%x0 = mul i64 %u, 4096
%behind = sub i64 %n0, %x0
%is_last = icmp slt i64 %behind, 4096
%count = select i1 %is_last, i64 %behind, i64 4096
%d0_0 = mul i64 %x0, %s0_0
%b0_0 = getelementptr i64, ptr %arg0, i64 %d0_0
%at0 = getelementptr i64, ptr %state, i64 0
store ptr %b0_0, ptr %at0
%by0 = getelementptr i64, ptr %state, i64 1
store i64 %s0_0, ptr %by0
%b1_0 = getelementptr i8, ptr %arg1, i64 %x0
%at1 = getelementptr i64, ptr %state, i64 2
store ptr %b1_0, ptr %at1
%d2_0 = mul i64 %x0, %s2_0
%b2_0 = getelementptr i64, ptr %arg2, i64 %d2_0
%at2 = getelementptr i64, ptr %state, i64 4
store ptr %b2_0, ptr %at2
%by2 = getelementptr i64, ptr %state, i64 5
store i64 %s2_0, ptr %by2
%where0 = getelementptr i64, ptr %state, i64 6
store i64 %x0, ptr %where0
%full = and i64 %count, -8
%wide_end = add i64 0, 0
br label %narrow
narrow:
%has_narrow = icmp slt i64 %wide_end, %full
br i1 %has_narrow, label %loop, label %rest
loop:
%i = phi i64 [ %wide_end, %narrow ], [ %j, %loop ], [ %full, %tail ]
%v0ba = getelementptr i64, ptr %state, i64 0
%v0b = load ptr, ptr %v0ba
%v0ta = getelementptr i64, ptr %state, i64 1
%v0t = load i64, ptr %v0ta
%v0o = mul i64 %i, %v0t
%v0p0 = getelementptr i64, ptr %v0b, i64 %v0o
%v0e0 = load i64, ptr %v0p0
%v0i0 = insertelement <8 x i64> poison, i64 %v0e0, i32 0
%v0p1 = getelementptr i64, ptr %v0p0, i64 %v0t
%v0e1 = load i64, ptr %v0p1
%v0i1 = insertelement <8 x i64> %v0i0, i64 %v0e1, i32 1
%v0p2 = getelementptr i64, ptr %v0p1, i64 %v0t
%v0e2 = load i64, ptr %v0p2
%v0i2 = insertelement <8 x i64> %v0i1, i64 %v0e2, i32 2
%v0p3 = getelementptr i64, ptr %v0p2, i64 %v0t
%v0e3 = load i64, ptr %v0p3
%v0i3 = insertelement <8 x i64> %v0i2, i64 %v0e3, i32 3
%v0p4 = getelementptr i64, ptr %v0p3, i64 %v0t
%v0e4 = load i64, ptr %v0p4
%v0i4 = insertelement <8 x i64> %v0i3, i64 %v0e4, i32 4
%v0p5 = getelementptr i64, ptr %v0p4, i64 %v0t
%v0e5 = load i64, ptr %v0p5
%v0i5 = insertelement <8 x i64> %v0i4, i64 %v0e5, i32 5
%v0p6 = getelementptr i64, ptr %v0p5, i64 %v0t
%v0e6 = load i64, ptr %v0p6
%v0i6 = insertelement <8 x i64> %v0i5, i64 %v0e6, i32 6
%v0p7 = getelementptr i64, ptr %v0p6, i64 %v0t
%v0e7 = load i64, ptr %v0p7
%v0 = insertelement <8 x i64> %v0i6, i64 %v0e7, i32 7
%v2y = add <8 x i64> splat (i64 3), splat (i64 1)
%v2t = icmp ule <8 x i64> %v2y, splat (i64 1)
%v2u = select <8 x i1> %v2t, <8 x i64> splat (i64 1), <8 x i64> splat (i64 3)
%v2r = srem <8 x i64> %v0, %v2u
%v2x = xor <8 x i64> %v2r, %v2u
%v2c = icmp slt <8 x i64> %v2x, zeroinitializer
%v2d = icmp ne <8 x i64> %v2r, zeroinitializer
%v2e = and <8 x i1> %v2c, %v2d
%v2s = add <8 x i64> %v2r, %v2u
%v2 = select <8 x i1> %v2e, <8 x i64> %v2s, <8 x i64> %v2r
%v4 = icmp eq <8 x i64> %v2, splat (i64 0)
%v5xa = getelementptr i64, ptr %state, i64 6
%v5x = load i64, ptr %v5xa
%v5c = add i64 %v5x, %i
%v5sf = insertelement <8 x i64> poison, i64 %v5c, i32 0
%v5s = shufflevector <8 x i64> %v5sf, <8 x i64> poison, <8 x i32> zeroinitializer
%v5 = add <8 x i64> %v5s, <i64 0, i64 1, i64 2, i64 3, i64 4, i64 5, i64 6, i64 7>
%v6 = select <8 x i1> %v4, <8 x i64> %v5, <8 x i64> splat (i64 0)
%o0m = zext <8 x i1> %v4 to <8 x i8>
%o0wba = getelementptr i64, ptr %state, i64 2
%o0wb = load ptr, ptr %o0wba
%o0wp = getelementptr i8, ptr %o0wb, i64 %i
store <8 x i8> %o0m, ptr %o0wp, align 1
%o1wba = getelementptr i64, ptr %state, i64 4
%o1wb = load ptr, ptr %o1wba
%o1wta = getelementptr i64, ptr %state, i64 5
%o1wt = load i64, ptr %o1wta
%o1wo = mul i64 %i, %o1wt
%o1wp0 = getelementptr i64, ptr %o1wb, i64 %o1wo
%o1we0 = extractelement <8 x i64> %v6, i32 0
store i64 %o1we0, ptr %o1wp0
%o1wp1 = getelementptr i64, ptr %o1wp0, i64 %o1wt
%o1we1 = extractelement <8 x i64> %v6, i32 1
store i64 %o1we1, ptr %o1wp1
%o1wp2 = getelementptr i64, ptr %o1wp1, i64 %o1wt
%o1we2 = extractelement <8 x i64> %v6, i32 2
store i64 %o1we2, ptr %o1wp2
%o1wp3 = getelementptr i64, ptr %o1wp2, i64 %o1wt
%o1we3 = extractelement <8 x i64> %v6, i32 3
store i64 %o1we3, ptr %o1wp3
%o1wp4 = getelementptr i64, ptr %o1wp3, i64 %o1wt
%o1we4 = extractelement <8 x i64> %v6, i32 4
store i64 %o1we4, ptr %o1wp4
%o1wp5 = getelementptr i64, ptr %o1wp4, i64 %o1wt
%o1we5 = extractelement <8 x i64> %v6, i32 5
store i64 %o1we5, ptr %o1wp5
%o1wp6 = getelementptr i64, ptr %o1wp5, i64 %o1wt
%o1we6 = extractelement <8 x i64> %v6, i32 6
store i64 %o1we6, ptr %o1wp6
%o1wp7 = getelementptr i64, ptr %o1wp6, i64 %o1wt
%o1we7 = extractelement <8 x i64> %v6, i32 7
store i64 %o1we7, ptr %o1wp7
%j = add i64 %i, 8
%more = icmp slt i64 %j, %full
br i1 %more, label %loop, label %rest
rest:
%done = phi i64 [ %wide_end, %narrow ], [ %j, %loop ]
%left = sub i64 %count, %done
%is_partly = icmp sgt i64 %left, 0
br i1 %is_partly, label %tail, label %whole
tail:
call void @tj_tail_in(ptr %state, ptr %pads, ptr @mask_index_tail, i64 3, i64 %full, i64 %left)
br label %loop
whole:
%is_padded = icmp slt i64 %left, 0
br i1 %is_padded, label %unpad, label %unit_end
unpad:
%r = sub i64 %count, %full
call void @tj_tail_out(ptr %state, ptr %pads, ptr @mask_index_tail, i64 3, i64 %full, i64 %r)
br label %unit_end
unit_end:
%u_next = add i64 %u, 1
br label %units
exit:
ret void
}
